// GraphiQL gives the items of its tab list the role `tab`, and puts buttons into them, which ARIA forbids. This makes
// them a list of buttons.

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function setAttributeOfList(name, value) {
  const isListed = this.tagName === 'LI' || this.tagName === 'UL';
  if (isListed && (name === 'aria-selected' || (name === 'role' && String(value).startsWith('tab')))) return;
  setAttribute.call(this, name, value);
};
