// What the page uses of htm, for the type check of its JavaScript.
type Tag = (strings: TemplateStringsArray, ...values: unknown[]) => unknown;
declare const htm: { bind(h: unknown): Tag };
export default htm;
