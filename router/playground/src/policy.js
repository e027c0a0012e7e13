// The content security policy forbids style elements and style attributes, which the editor (Monaco) and some
// components create. Styles that scripts set through the CSS object model are allowed, so these functions use it
// instead.

// A replacement of a style element, whose rules are in a style sheet of the document.
function standInForStyle(create, document) {
  const element = create.call(document, 'meta');
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  let text = '';
  const write = (value) => {
    text = String(value ?? '');
    sheet.replaceSync(text);
  };
  const add = (node) => {
    write(text + node.textContent);
    return node;
  };
  return Object.defineProperties(element, {
    sheet: { value: sheet },
    textContent: { get: () => text, set: write },
    innerHTML: { get: () => text, set: write },
    appendChild: { value: add },
    append: { value: (...nodes) => nodes.forEach((node) => write(text + (node.textContent ?? node))) },
  });
}

const create = Document.prototype.createElement;
Document.prototype.createElement = function createElement(name, options) {
  return String(name).toLowerCase() === 'style' ? standInForStyle(create, this) : create.call(this, name, options);
};

const LATER = 'data-later-style';

// Parses markup without its style attributes, and sets the styles afterwards.
function parseThenStyle(html, parse, styled) {
  const text = String(html);
  if (!/\sstyle\s*=/i.test(text)) return parse(html);
  parse(text.replace(/(<[^>]*?\s)style(\s*=)/gi, `$1${LATER}$2`));
  for (const element of styled().querySelectorAll(`[${LATER}]`)) {
    element.style.cssText = element.getAttribute(LATER);
    element.removeAttribute(LATER);
  }
  return undefined;
}

const inner = Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML');
Object.defineProperty(Element.prototype, 'innerHTML', {
  ...inner,
  set(html) {
    parseThenStyle(html, (text) => inner.set.call(this, text), () => this);
  },
});

const insert = Element.prototype.insertAdjacentHTML;
Element.prototype.insertAdjacentHTML = function insertAdjacentHTML(position, html) {
  const isInside = /^(afterbegin|beforeend)$/i.test(position);
  parseThenStyle(html, (text) => insert.call(this, position, text), () => (isInside ? this : this.parentNode));
};

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function setAttributeWithinPolicy(name, value) {
  if (String(name).toLowerCase() === 'style' && this.style) {
    this.style.cssText = value;
  } else {
    setAttribute.call(this, name, value);
  }
};
