// Numbers from the text in which Python's codec.py packs them: 16 bits each, on a log scale.

const STEP = Math.log(1.0003);

function bytesOf(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

function wholeNumbers(text) {
  const view = new DataView(bytesOf(text).buffer);
  // little-endian on every machine, as written
  return Uint16Array.from({ length: view.byteLength / 2 }, (_, place) => view.getUint16(2 * place, true));
}

function unpack(packed) {
  const nan = packed.signed ? 0x7fff : 0xffff;
  const numbers = Float64Array.from(wholeNumbers(packed.codes), (code) => {
    const size = code & nan;
    const magnitude =
      size === 0 ? 0 : size === nan ? NaN : size === nan - 1 ? Infinity : packed.top * Math.exp((size - nan + 2) * STEP);
    return code > nan ? -magnitude : magnitude;
  });
  return numbers;
}
