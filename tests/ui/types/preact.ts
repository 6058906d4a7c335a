// What the page uses of Preact, for the type check of its JavaScript.
export interface Context {
  Provider: unknown;
}
export declare const Fragment: unknown;
export declare function createContext(initial: unknown): Context;
export declare function h(type: unknown, props: unknown, ...children: unknown[]): unknown;
export declare function render(tree: unknown, into: Element): void;
