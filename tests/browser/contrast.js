// Every text of a page whose contrast is below that of WCAG 2.1, level AA, and how many texts there are.
const channel = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function rgba(color) {  // whatever the notation, as four numbers
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
function ground(element) {  // the first ground that is not see-through; none of these pages layers half of one
  for (let e = element; e; e = e.parentElement) {
    const found = rgba(getComputedStyle(e).backgroundColor);
    if (found[3] > 250) return found;
  }
  return [255, 255, 255];
}
const low = new Map();
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || element.closest("svg, script, style, noscript")) continue;
  if (!element.checkVisibility({ visibilityProperty: true })) continue;
  texts += 1;
  const style = getComputedStyle(element);
  const [a, b] = [luminance(rgba(style.color)), luminance(ground(element))];
  const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  const size = parseFloat(style.fontSize);
  // A sign beside the word that it stands for is a drawing.
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) || element.closest("[aria-hidden=true]");
  const shown = walker.currentNode.textContent.trim().slice(0, 40);
  if (!(contrast >= (large ? 3 : 4.5))) low.set(`${element.tagName}.${element.className}`, [contrast, shown]);
}
return [texts, [...low]];
