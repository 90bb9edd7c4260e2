// RUN: %gru-opt %s --convert-gru-pack-to-linalg --split-input-file | FileCheck %s

// A kernel that is an input is packed in each run.

// CHECK-LABEL: func.func @input
// CHECK-NOT:     gru.pack
// CHECK:         %[[EMPTY:.*]] = tensor.empty() : tensor<1x2x3x4xf32>
// CHECK:         %[[PACKED:.*]] = linalg.generic
// CHECK-SAME:      outs(%[[EMPTY]] : tensor<1x2x3x4xf32>)
// CHECK:           tensor.extract %{{.*}} : tensor<2x9xf32>
// CHECK:           arith.select
// CHECK:         return %[[PACKED]]
func.func @input(%w: tensor<2x9xf32> {gru.name = "w"}) -> tensor<1x2x3x4xf32> {
  %p = gru.pack %w {part = #gru.part<all>, gates = 3, width = 4}
      : tensor<2x9xf32> -> tensor<1x2x3x4xf32>
  return %p : tensor<1x2x3x4xf32>
}

// -----

// z and r get both biases.

// CHECK-LABEL: func.func @input_bias
// CHECK-COUNT-2: tensor.extract
// CHECK:         arith.addf
func.func @input_bias(%b: tensor<2x9xf32> {gru.name = "b"}) -> tensor<1x3x4xf32> {
  %p = gru.pack %b {part = #gru.part<input_bias>, gates = 3, width = 4}
      : tensor<2x9xf32> -> tensor<1x3x4xf32>
  return %p : tensor<1x3x4xf32>
}

// -----

// CHECK-LABEL: func.func @weight
// CHECK:         gru.pack
func.func @weight(%w: tensor<2x9xf32> {gru.weight = "w"}) -> tensor<1x2x3x4xf32> {
  %p = gru.pack %w {part = #gru.part<all>, gates = 3, width = 4}
      : tensor<2x9xf32> -> tensor<1x2x3x4xf32>
  return %p : tensor<1x2x3x4xf32>
}
