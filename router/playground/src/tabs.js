// GraphiQL calls the items of its list of tabs tabs, and puts buttons into them, which no tab may have. Here they are a
// list of buttons.

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function setAttributeOfList(name, value) {
  const isListed = this.tagName === 'LI' || this.tagName === 'UL';
  if (isListed && (name === 'aria-selected' || (name === 'role' && String(value).startsWith('tab')))) return;
  setAttribute.call(this, name, value);
};
