// RUN: %gru-opt %s --gru-legalize | FileCheck %s

// CHECK-DAG: #[[$ROW:.+]] = affine_map<(d0, d1) -> (d0)>
// CHECK-DAG: #[[$COLUMN:.+]] = affine_map<(d0, d1) -> (d1)>

// CHECK-LABEL: func.func @cell
// CHECK-SAME: %[[X:.+]]: tensor<?x3xf32>, %[[H:.+]]: tensor<?x4xf32>, %[[W:.+]]: tensor<3x12xf32>, %[[U:.+]]: tensor<4x12xf32>, %[[B:.+]]: tensor<2x12xf32>
func.func @cell(%x: tensor<?x3xf32>, %h: tensor<?x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>)
    -> tensor<?x4xf32> {
  // CHECK: %[[STEP:.+]] = tensor.expand_shape %[[X]] {{.*}} into tensor<?x1x3xf32>
  // CHECK: %{{.*}}, %{{.*}}, %[[STATE:.+]] = gru.gru %[[STEP]] kernel(%[[W]], %[[U]]) bias(%[[B]] : tensor<2x12xf32>) initial_state(%[[H]] : tensor<?x4xf32>)
  // CHECK-SAME: {activation = #gru.act<tanh>, clip = 1.000000e+00 : f64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  // CHECK: return %[[STATE]]
  %y = gru.cell %x, %h kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, clip = 1.0 : f64}
      : tensor<?x3xf32>, tensor<?x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @cell_without_bias
func.func @cell_without_bias(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>)
    -> tensor<2x4xf32> {
  // CHECK-NOT: bias
  // CHECK: gru.gru %{{.*}} initial_state(
  %y = gru.cell %x, %h kernel(%W, %U) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// Dropout masks stay what they are: the layer has them too.
// CHECK-LABEL: func.func @cell_dropout
// CHECK-SAME: %[[D:[a-z0-9]+]]: tensor<3x2x3xf32>, %[[RD:[a-z0-9]+]]: tensor<3x2x4xf32>)
func.func @cell_dropout(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>,
                        %d: tensor<3x2x3xf32>, %rd: tensor<3x2x4xf32>) -> tensor<2x4xf32> {
  // CHECK: gru.gru {{.*}} dropout_mask(%[[D]] : tensor<3x2x3xf32>) recurrent_dropout_mask(%[[RD]] : tensor<3x2x4xf32>) {{.*}} implementation = 1 : i64
  %y = gru.cell %x, %h kernel(%W, %U) dropout_mask(%d : tensor<3x2x3xf32>) recurrent_dropout_mask(%rd : tensor<3x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, implementation = 1 : i64}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// Step t of row b is valid where t < lengths[b]; outputs behind are zeros.
// CHECK-LABEL: func.func @lengths
// CHECK-SAME: %[[N:[a-z0-9]+]]: tensor<2xi32>)
func.func @lengths(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %n: tensor<2xi32>) -> tensor<2x?x4xf32> {
  // CHECK: %[[MASK:.+]] = linalg.generic {indexing_maps = [#[[$ROW]], {{.*}} ins(%[[N]] : tensor<2xi32>) outs(%{{.*}} : tensor<2x?xi1>)
  // CHECK: %[[LENGTH:.+]]: i32,
  // CHECK: linalg.index 1
  // CHECK: arith.cmpi slt, %{{.*}}, %[[LENGTH]]
  // CHECK: gru.gru {{.*}} mask(%[[MASK]] : tensor<2x?xi1>) {{.*}} zero_output_for_mask
  %seq, %last, %state = gru.gru %x kernel(%W, %U) lengths(%n : tensor<2xi32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<2x?x4xf32>
}

// CHECK-LABEL: func.func @lengths_time_major
func.func @lengths_time_major(%x: tensor<?x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %n: tensor<2xi32>)
    -> tensor<?x2x4xf32> {
  // CHECK: linalg.generic {indexing_maps = [#[[$COLUMN]], {{.*}} outs(%{{.*}} : tensor<?x2xi1>)
  // CHECK: linalg.index 0
  %seq, %last, %state = gru.gru %x kernel(%W, %U) lengths(%n : tensor<2xi32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, time_major}
      : tensor<?x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<?x2x4xf32>
}

// Direction, layout and masks stay visible.
// CHECK-LABEL: func.func @nothing_else
func.func @nothing_else(%x: tensor<5x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %m: tensor<5x2xi1>) -> tensor<5x2x4xf32> {
  // CHECK-NEXT: gru.gru {{.*}} mask({{.*}} go_backwards, {{.*}} time_major
  %seq, %last, %state = gru.gru %x kernel(%W, %U) mask(%m : tensor<5x2xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards, time_major}
      : tensor<5x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<5x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<5x2x4xf32>
}
