// What is searched for in output: plain words whatever the case, or a regular expression. Pure.

/** `{test(text), ranges(text)}`; null for nothing, `{fault}` for an expression that is none. */
export function matcherOf(text, isExpression) {
  if (!text) return null;
  try {
    const source = isExpression ? text : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return new Matcher(new RegExp(source, "giu"), !isExpression);
  } catch {
    return { fault: "This is no regular expression" };
  }
}

class Matcher {
  fault = undefined;

  constructor(expression, isPlain) {
    this.expression = expression;
    this.isPlain = isPlain;
  }

  /** False when no line of `text` can hold it. An expression may be about the ends of lines. */
  mayBeIn(text) {
    return !this.isPlain || this.test(text);
  }

  test(text) {
    this.expression.lastIndex = 0;
    return this.expression.test(text);
  }

  /** `[[from, to], …]` of what is found in one line. */
  ranges(text) {
    const found = [...text.matchAll(this.expression)].filter((one) => one[0]);
    return found.slice(0, 500).map((one) => [one.index, one.index + one[0].length]);
  }
}
