//! What a decoder of JPEG does not say.

/// Whether a JPEG ends before its end marker: the decoder would fill up what is missing with grey. Inside of compressed data
/// there is no such marker, and that of a thumbnail comes before the last scan begins.
pub fn is_cut_off(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) < last([0xff, 0xda]) || last([0xff, 0xd9]).is_none()
}
