// One maxout convolution over a padded image, channels last: the larger of two affine maps, no stride; and its adjoint. Compiled to conv.wasm (README.md).
//
// x: side x side x c; w: for every 4 units, kernel row, kernel column and channel, 4 weights of the first map, then 4 of the second;
// b: for every 4 units, 4 biases of each; out: n x n x units with n = side - k + 1 >= 4. All float32, addresses in bytes.
// marks, where it is not 0: n x n x units, the first map's share of what flows back: 1 where it is the larger, 1/2 in a draw, else 0.
// Four neighbouring pixels share each load of weights; the last four of a row may overlap the four before.
function share(f: v128, s: v128): v128 {
  const half = f32x4.splat(0.5);
  return f32x4.add(v128.and(f32x4.ge(f, s), half), v128.and(f32x4.gt(f, s), half));
}

export function conv(x: usize, w: usize, b: usize, out: usize, marks: usize, side: i32, c: i32, k: i32, units: i32): void {
  const n = side - k + 1, pixel = <usize>(4 * c), row = <usize>side * pixel, run = <usize>k * pixel, wide = <usize>(4 * units);
  for (let u = 0; u < units; u += 4, w += <usize>k * run * 8, b += 32, out += 16, marks += marks ? 16 : 0) {
    const first = v128.load(b), second = v128.load(b, 16);
    for (let y = 0; y < n; y++) {
      for (let i = 0; i < n; i += 4) {
        const at = min(i, n - 4);
        let f0 = first, f1 = first, f2 = first, f3 = first, s0 = second, s1 = second, s2 = second, s3 = second;
        let q = w;
        for (let line = 0; line < k; line++) {
          let p0 = x + <usize>(y + line) * row + <usize>at * pixel, p1 = p0 + pixel, p2 = p1 + pixel, p3 = p2 + pixel;
          for (const end = p0 + run; p0 < end; p0 += 4, p1 += 4, p2 += 4, p3 += 4, q += 32) {
            const wf = v128.load(q), ws = v128.load(q, 16);
            const v0 = v128.load32_splat(p0), v1 = v128.load32_splat(p1), v2 = v128.load32_splat(p2), v3 = v128.load32_splat(p3);
            f0 = f32x4.add(f0, f32x4.mul(v0, wf)); s0 = f32x4.add(s0, f32x4.mul(v0, ws));
            f1 = f32x4.add(f1, f32x4.mul(v1, wf)); s1 = f32x4.add(s1, f32x4.mul(v1, ws));
            f2 = f32x4.add(f2, f32x4.mul(v2, wf)); s2 = f32x4.add(s2, f32x4.mul(v2, ws));
            f3 = f32x4.add(f3, f32x4.mul(v3, wf)); s3 = f32x4.add(s3, f32x4.mul(v3, ws));
          }
        }
        const step = <usize>(y * n + at) * wide, o = out + step;
        v128.store(o, f32x4.max(f0, s0)); v128.store(o + wide, f32x4.max(f1, s1));
        v128.store(o + 2 * wide, f32x4.max(f2, s2)); v128.store(o + 3 * wide, f32x4.max(f3, s3));
        if (marks) {
          const m = marks + step;
          v128.store(m, share(f0, s0)); v128.store(m + wide, share(f1, s1));
          v128.store(m + 2 * wide, share(f2, s2)); v128.store(m + 3 * wide, share(f3, s3));
        }
      }
    }
  }
}

// The same layer backwards: g, n x n x units, is what its outputs weigh; into, side x side x c and zero before, gets what its inputs weigh.
export function adjoint(g: usize, marks: usize, w: usize, into: usize, side: i32, c: i32, k: i32, units: i32): void {
  const n = side - k + 1, pixel = <usize>(4 * c), row = <usize>side * pixel, run = <usize>k * pixel, wide = <usize>(4 * units), block = <usize>k * run * 8;
  for (let y = 0; y < n; y++) {
    for (let i = 0; i < n; i++, g += wide, marks += wide) {
      let q = w;
      for (let line = 0; line < k; line++) {
        let p = into + <usize>(y + line) * row + <usize>i * pixel;
        for (const end = p + run; p < end; p += 4, q += 32) {
          let sum = f32x4.splat(0), at = q;
          for (let u: usize = 0; u < wide; u += 16, at += block) {
            const v = v128.load(g + u), first = f32x4.mul(v, v128.load(marks + u)), second = f32x4.sub(v, first);
            sum = f32x4.add(sum, f32x4.add(f32x4.mul(first, v128.load(at)), f32x4.mul(second, v128.load(at, 16))));
          }
          const all = f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3);
          store<f32>(p, load<f32>(p) + all);
        }
      }
    }
  }
}
