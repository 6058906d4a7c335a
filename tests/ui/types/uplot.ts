// What the page uses of uPlot, for the type check of its JavaScript.
declare const uPlot: any;
export default uPlot;
