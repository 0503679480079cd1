// @ts-check
import { T } from "../shared/strings.js";

/** Halves as divers write them: 3.5 is "3 1/2". @param {number} n */
export function halves(n) {
  const whole = Math.floor(n);
  if (n === whole) return String(whole);
  return whole ? `${whole} 1/2` : "1/2";
}

/** A dive in words, as "inward 3 1/2 somersaults, tuck". @param {NamedDive} dive */
export function inWords(dive) {
  const parts = [
    [
      dive.armstand ? T.dive.armstand : "",
      dive.rotation.label,
      dive.somersaults ? T.dive.somersaults(halves(dive.somersaults), dive.somersaults <= 1) : "",
    ]
      .filter(Boolean)
      .join(" "),
  ];
  if (dive.twists) parts.push(T.dive.twists(halves(dive.twists), dive.twists <= 1));
  parts.push(dive.position.label);
  return parts.join(", ");
}

/** Points as they are shown everywhere. @param {number} n */
export function points(n) {
  return n.toFixed(2);
}
