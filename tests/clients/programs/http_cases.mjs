// What the HTTP clients in JavaScript ask, and how they print what came back: `score` or `status code`.
const good = Buffer.concat([Buffer.from("score=84.15 "), Buffer.alloc(500_000, " ")]);

export const headers = { Authorization: `Bearer ${process.env.TOKEN}` };

// `ask(path, body)` returns [status, parsed body].
export async function run(ask) {
  const say = async (body) => {
    const [status, answer] = await ask("/invocations", body);
    return status === 200 ? `${answer.score}` : `${status} ${answer.error.code}`;
  };
  console.log(JSON.stringify({
    "good": await say(good),
    "not a dive": await say(Buffer.from("status=422 code=not_a_dive")),
    "too large": await say(Buffer.alloc(3_000_000, "x")),
    "good again": await say(good),
  }));
}
