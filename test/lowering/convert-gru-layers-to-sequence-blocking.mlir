// The block shape is chosen from the units, the batch and the registers, and is
// recorded in the packed types (width) and in `rows`.
// RUN: %gru-opt %s --convert-gru-layers-to-sequence | FileCheck %s --check-prefixes=CHECK,AVX512
// RUN: %gru-opt %s --convert-gru-layers-to-sequence="vector-bytes=32 registers=16" | FileCheck %s --check-prefixes=CHECK,AVX2
// RUN: %gru-opt %s --convert-gru-layers-to-sequence="vector-bytes=16 registers=32" | FileCheck %s --check-prefixes=CHECK,NEON
// RUN: %gru-opt %s --convert-gru-layers-to-sequence="width=8 rows=3" | FileCheck %s --check-prefixes=CHECK,GIVEN

// CHECK-LABEL: func.func @units24
func.func @units24(%x: tensor<1x?x8xf32>, %W: tensor<8x72xf32>, %U: tensor<24x72xf32>) -> tensor<1x24xf32> {
  // AVX512: gru.packed_dense {{.*}} rows = 4 : i64} -> tensor<?x1x1x3x32xf32>
  // AVX512: gru.recur {{.*}} rows = 1 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x2x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 1 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x2x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 1 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x1x3x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x8xf32>, tensor<8x72xf32>, tensor<24x72xf32> -> tensor<1x?x24xf32>, tensor<1x24xf32>, tensor<1x24xf32>
  return %0#2 : tensor<1x24xf32>
}

// CHECK-LABEL: func.func @units64
func.func @units64(%x: tensor<1x?x8xf32>, %W: tensor<8x192xf32>, %U: tensor<64x192xf32>) -> tensor<1x64xf32> {
  // One block of 64 would push itself out of the nearest cache in each step.
  // AVX512: gru.packed_dense {{.*}} rows = 4 : i64} -> tensor<?x1x2x3x32xf32>
  // AVX512: gru.recur {{.*}} rows = 1 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x4x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 1 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x4x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 1 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x1x8x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x8xf32>, tensor<8x192xf32>, tensor<64x192xf32> -> tensor<1x?x64xf32>, tensor<1x64xf32>, tensor<1x64xf32>
  return %0#2 : tensor<1x64xf32>
}

// CHECK-LABEL: func.func @units96
func.func @units96(%x: tensor<1x?x8xf32>, %W: tensor<8x288xf32>, %U: tensor<96x288xf32>) -> tensor<1x96xf32> {
  // AVX512: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x2x3x48xf32>
  // AVX512: gru.recur {{.*}} rows = 1 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x6x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 1 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x6x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 1 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x1x12x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x8xf32>, tensor<8x288xf32>, tensor<96x288xf32> -> tensor<1x?x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>
  return %0#2 : tensor<1x96xf32>
}

// CHECK-LABEL: func.func @units64_batch2
func.func @units64_batch2(%x: tensor<2x?x8xf32>, %W: tensor<8x192xf32>, %U: tensor<64x192xf32>) -> tensor<2x64xf32> {
  // AVX512: gru.packed_dense {{.*}} rows = 4 : i64} -> tensor<?x2x2x3x32xf32>
  // AVX512: gru.recur {{.*}} rows = 2 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x2x4x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 2 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x2x4x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 2 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x2x8x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x?x8xf32>, tensor<8x192xf32>, tensor<64x192xf32> -> tensor<2x?x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>
  return %0#2 : tensor<2x64xf32>
}

// CHECK-LABEL: func.func @units64_batch32
func.func @units64_batch32(%x: tensor<32x?x8xf32>, %W: tensor<8x192xf32>, %U: tensor<64x192xf32>) -> tensor<32x64xf32> {
  // AVX512: gru.packed_dense {{.*}} rows = 8 : i64} -> tensor<?x32x4x3x16xf32>
  // AVX512: gru.recur {{.*}} rows = 8 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x32x4x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 2 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x32x4x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 2 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x32x8x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<32x?x8xf32>, tensor<8x192xf32>, tensor<64x192xf32> -> tensor<32x?x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>
  return %0#2 : tensor<32x64xf32>
}

// A block of weights is not in the nearest cache: where sums of all gates leave room
// for few rows, one gate after the other.
// CHECK-LABEL: func.func @units256_batch32
func.func @units256_batch32(%x: tensor<32x?x256xf32>, %W: tensor<256x768xf32>, %U: tensor<256x768xf32>) -> tensor<32x256xf32> {
  // AVX512: gru.packed_dense {{.*}} rows = 8 : i64} -> tensor<?x32x16x3x16xf32>
  // AVX512: gru.recur {{.*}} rows = 8 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 6 : i64} -> tensor<?x32x16x3x16xf32>
  // AVX2: gru.recur {{.*}} rows = 6 : i64
  // NEON: gru.packed_dense {{.*}} rows = 6 : i64} -> tensor<?x32x16x3x16xf32>
  // NEON: gru.recur {{.*}} rows = 6 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x32x32x3x8xf32>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<32x?x256xf32>, tensor<256x768xf32>, tensor<256x768xf32> -> tensor<32x?x256xf32>, tensor<32x256xf32>, tensor<32x256xf32>
  return %0#2 : tensor<32x256xf32>
}

// CHECK-LABEL: func.func @units20_f64
func.func @units20_f64(%x: tensor<1x?x8xf64>, %W: tensor<8x60xf64>, %U: tensor<20x60xf64>) -> tensor<1x20xf64> {
  // AVX512: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x1x3x24xf64>
  // AVX512: gru.recur {{.*}} rows = 1 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x3x3x8xf64>
  // AVX2: gru.recur {{.*}} rows = 1 : i64
  // NEON: gru.packed_dense {{.*}} rows = 2 : i64} -> tensor<?x1x3x3x8xf64>
  // NEON: gru.recur {{.*}} rows = 1 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x1x3x3x8xf64>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x8xf64>, tensor<8x60xf64>, tensor<20x60xf64> -> tensor<1x?x20xf64>, tensor<1x20xf64>, tensor<1x20xf64>
  return %0#2 : tensor<1x20xf64>
}

// CHECK-LABEL: func.func @units20_f16
func.func @units20_f16(%x: tensor<1x?x8xf16>, %W: tensor<8x60xf16>, %U: tensor<20x60xf16>) -> tensor<1x20xf16> {
  // AVX512: gru.packed_dense {{.*}} rows = 4 : i64} -> tensor<?x1x1x3x32xf16>
  // AVX512: gru.recur {{.*}} rows = 1 : i64
  // AVX2: gru.packed_dense {{.*}} rows = 1 : i64} -> tensor<?x1x1x3x32xf16>
  // AVX2: gru.recur {{.*}} rows = 1 : i64
  // NEON: gru.packed_dense {{.*}} rows = 1 : i64} -> tensor<?x1x1x3x32xf16>
  // NEON: gru.recur {{.*}} rows = 1 : i64
  // GIVEN: gru.packed_dense {{.*}} rows = 3 : i64} -> tensor<?x1x3x3x8xf16>
  // GIVEN: gru.recur {{.*}} rows = 3 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x8xf16>, tensor<8x60xf16>, tensor<20x60xf16> -> tensor<1x?x20xf16>, tensor<1x20xf16>, tensor<1x20xf16>
  return %0#2 : tensor<1x20xf16>
}

// A few units at a batch: blocks of a quarter of 64 bytes on every machine.
// CHECK-LABEL: func.func @units3
func.func @units3(%x: tensor<9x?x8xf32>, %W: tensor<8x9xf32>, %U: tensor<3x9xf32>) -> tensor<9x3xf32> {
  // Blocks of rows are equal: nine are five and four, not eight and one.
  // AVX512: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x4xf32>) {{.*}} rows = 5 : i64
  // AVX2: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x4xf32>) {{.*}} rows = 3 : i64
  // NEON: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x4xf32>) {{.*}} rows = 5 : i64
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<9x?x8xf32>, tensor<8x9xf32>, tensor<3x9xf32> -> tensor<9x?x3xf32>, tensor<9x3xf32>, tensor<9x3xf32>
  return %0#2 : tensor<9x3xf32>
}

// But not of half types.
// CHECK-LABEL: func.func @units3half
func.func @units3half(%x: tensor<9x?x8xbf16>, %W: tensor<8x9xbf16>, %U: tensor<3x9xbf16>) -> tensor<9x3xbf16> {
  // AVX512: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x32xbf16>)
  // AVX2: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x32xbf16>)
  // NEON: gru.recur {{.*}} kernels(%{{.+}} : tensor<1x3x3x32xbf16>)
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<9x?x8xbf16>, tensor<8x9xbf16>, tensor<3x9xbf16> -> tensor<9x?x3xbf16>, tensor<9x3xbf16>, tensor<9x3xbf16>
  return %0#2 : tensor<9x3xbf16>
}
