// What the page knows better than the DOM's own types, for the type check of its JavaScript.
interface ParentNode {
  querySelector(selectors: string): HTMLInputElement & HTMLMetaElement | null;
}
interface Element {
  closest(selectors: string): HTMLElement | null;
  focus?(): void;
  blur?(): void;
}
interface DocumentEventMap {
  "aiohttp-jobs:toast": CustomEvent;
}
interface Window {
  Prism: any;
}
interface WindowEventMap {
  connect: MessageEvent; // of the shared worker's scope
}
declare function SwaggerUIBundle(settings: object): void;
