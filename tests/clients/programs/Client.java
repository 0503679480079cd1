// Java's HttpClient as it comes: over http it offers an upgrade to HTTP/2 with its first request.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.regex.Pattern;

public class Client {
  static final HttpClient CLIENT = HttpClient.newHttpClient();

  static String ask(byte[] body) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(System.getenv("URL") + "/invocations"))
        .header("Authorization", "Bearer " + System.getenv("TOKEN"))
        .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
    var answer = CLIENT.send(request, BodyHandlers.ofString());
    var key = answer.statusCode() == 200 ? "score" : "code";
    var found = Pattern.compile('"' + key + "\": ?\"?([\\w.]+)").matcher(answer.body());
    var said = found.find() ? found.group(1) : answer.body();
    return answer.statusCode() == 200 ? said : answer.statusCode() + " " + said;
  }

  public static void main(String[] arguments) throws Exception {
    byte[] good = ("score=84.15 " + " ".repeat(500_000)).getBytes();
    System.out.printf("{\"good\": \"%s\", \"not a dive\": \"%s\", \"too large\": \"%s\", \"good again\": \"%s\"}%n",
        ask(good), ask("status=422 code=not_a_dive".getBytes()), ask(new byte[3_000_000]), ask(good));
  }
}
