// A weight that is marked as sparse, from its packs to the loops over rows.
// RUN: %gru-opt %s --convert-gru-layers-to-sequence | FileCheck %s --check-prefix=SEQUENCE
// RUN: %gru-opt %s --convert-gru-layers-to-sequence --gru-hoist-packs | FileCheck %s --check-prefix=HOIST
// RUN: %gru-opt %s --convert-gru-layers-to-sequence --gru-quantize-layers=min-bytes=0 2>&1 | FileCheck %s --check-prefix=BYTES
// RUN: %gru-opt %s --gru-to-cpu="stop-after=loops" | FileCheck %s --check-prefix=LOOPS
// RUN: %gru-opt %s --gru-to-cpu="stop-after=sequence weight-type=bf16" | FileCheck %s --check-prefix=BF16
// RUN: %gru-opt %s --convert-gru-layers-to-sequence --convert-gru-to-reference-loops | FileCheck %s --check-prefix=REFERENCE

// Blocks are a line of the caches wide, whatever the vector; without reset_after
// each of the two kernels has its lists.
// SEQUENCE-LABEL: func.func @phases
// SEQUENCE: %[[G:.+]] = gru.pack %arg2 {{.*}}part = #gru.part<gates>, width = 16
// SEQUENCE: %[[C:.+]] = gru.pack %arg2 {{.*}}part = #gru.part<candidate>, width = 16
// SEQUENCE: %[[GR:.+]] = gru.nonzero_rows %[[G]] : tensor<5x65x2x16xf32> -> tensor<5x2x66xi32>
// SEQUENCE: %[[CR:.+]] = gru.nonzero_rows %[[C]] : tensor<5x65x1x16xf32> -> tensor<5x1x66xi32>
// SEQUENCE: gru.recur {{.*}} kernels(%[[G]], %[[C]] : {{.*}}) kernel_rows(%[[GR]], %[[CR]] : {{.*}} rows = 5 : i64

// The lists are made from what the packs before them have left.
// HOIST-LABEL: func.func @phases
// HOIST-SAME: {extents = array<i64: 5, 65, 2, 16>, list_rows, offset = [[#%d,AT:]] : i64, source_offset = [[#%d,FROM:]] : i64, source_strides = array<i64: 2080, 32, 16, 1>, strides = array<i64: 132, 1, 66, 0>, type = f32, weight = 1 : i64}
// HOIST-NOT: gru.nonzero_rows

// BYTES: remark: int8: the layer stays float32, because the zeros of its recurrent kernel are left out
// BYTES-LABEL: func.func @phases

// LOOPS-LABEL: func.func @phases
// LOOPS: gru.step <gates> {{.*}} kernel_rows(%{{.+}} : memref<5x2x66xi32>)
// LOOPS: gru.step <candidate> {{.*}} kernel_rows(%{{.+}} : memref<5x1x66xi32>)

// BF16-LABEL: func.func @phases
// BF16: gru.nonzero_rows %{{.+}} : tensor<5x65x2x16xbf16> -> tensor<5x2x66xi32>

// The reference reads every row.
// REFERENCE-LABEL: func.func @phases
// REFERENCE-NOT: gru.{{pack|recur|nonzero_rows}}{{ }}
// REFERENCE: return
func.func @phases(%x: tensor<9x4x8xf32> {gru.name = "x"}, %W: tensor<8x195xf32> {gru.weight = "W"},
                  %U: tensor<65x195xf32> {gru.weight = "U", gru.sparse}) -> (tensor<9x65xf32> {gru.name = "y"}) {
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<9x4x8xf32>, tensor<8x195xf32>, tensor<65x195xf32> -> tensor<9x4x65xf32>, tensor<9x65xf32>, tensor<9x65xf32>
  return %0#2 : tensor<9x65xf32>
}

// Few units are computed whole.
// SEQUENCE-LABEL: func.func @fewUnits
// SEQUENCE-NOT: gru.nonzero_rows
// SEQUENCE: return
func.func @fewUnits(%x: tensor<1x4x8xf32> {gru.name = "x"}, %W: tensor<8x189xf32> {gru.weight = "W"},
                    %U: tensor<63x189xf32> {gru.weight = "U", gru.sparse}) -> (tensor<1x63xf32> {gru.name = "y"}) {
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<1x4x8xf32>, tensor<8x189xf32>, tensor<63x189xf32> -> tensor<1x4x63xf32>, tensor<1x63xf32>, tensor<1x63xf32>
  return %0#2 : tensor<1x63xf32>
}
