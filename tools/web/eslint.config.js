// The page's rules: no way in which a text could become markup or code, nothing inline, nothing unused.
import js from "@eslint/js";
import globals from "globals";

const markup = ["innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML", "srcdoc"];

export default [
  { ignores: ["**/vendor/**"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-console": "error",
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: ["error", "always", { null: "ignore" }],
      complexity: ["error", 15],
      "max-lines": ["error", 200],
      "no-restricted-syntax": [
        "error",
        ...markup.map((name) => ({
          selector: `:matches(Identifier, TemplateElement)[name='${name}'], TemplateElement[value.raw=/${name}/]`,
          message: "Text stays text: no markup from strings.",
        })),
      ],
    },
  },
];
