// What the page uses of eventsource-parser, for the type check of its JavaScript.
export interface ServerEvent {
  id?: string;
  event?: string;
  data: string;
}
export declare function createParser(told: {
  onEvent(event: ServerEvent): void;
  onRetry?(milliseconds: number): void;
  onComment?(text: string): void;
}): { feed(text: string): void; reset(): void };
