// What the page uses of Preact's hooks, for the type check of its JavaScript.
type Update<T> = (next: T | ((before: T) => T)) => void;
export declare function useCallback<T extends (...given: any[]) => any>(call: T, inputs: unknown[]): T;
export declare function useContext(context: unknown): any;
export declare function useEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export declare function useErrorBoundary(told?: (error: any) => void): [any, () => void];
export declare function useId(): string;
export declare function useLayoutEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export declare function useMemo<T>(make: () => T, inputs: unknown[]): T;
export declare function useReducer<S, A>(reduce: (state: S, action: A) => S, initial: S): [S, (action: A) => void];
export declare function useRef(initial?: any): { current: any };
export declare function useState(initial?: any): [any, Update<any>];
