// What canonicalisation drops, and what it must leave alone.
// RUN: %gru-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @neutral_operands
func.func @neutral_operands(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>)
    -> tensor<2x5x4xf32> {
  %all = arith.constant dense<true> : tensor<2x5xi1>
  %none = arith.constant dense<false> : tensor<2x5xi1>
  %h0 = arith.constant dense<0.0> : tensor<2x4xf32>
  %d = arith.constant dense<1.0> : tensor<1x2x3xf32>
  %rd = arith.constant dense<1.0> : tensor<3x2x4xf32>
  // CHECK-NOT: arith.constant
  // CHECK: gru.gru %{{.*}} kernel(%{{.*}}, %{{.*}}) bias(%{{.*}} : tensor<2x12xf32>) {
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>) initial_state(%h0 : tensor<2x4xf32>)
      mask(%all : tensor<2x5xi1>) reset(%none : tensor<2x5xi1>) dropout_mask(%d : tensor<1x2x3xf32>)
      recurrent_dropout_mask(%rd : tensor<3x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<2x5x4xf32>
}

// The same operands with values that change something.
// CHECK-LABEL: func.func @active_operands
func.func @active_operands(%x: tensor<2x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x2x4xf32> {
  %mask = arith.constant dense<[[true, true], [true, false]]> : tensor<2x2xi1>
  %reset = arith.constant dense<[[false, true], [false, false]]> : tensor<2x2xi1>
  %h0 = arith.constant dense<1.0> : tensor<2x4xf32>
  %d = arith.constant dense<2.0> : tensor<1x2x3xf32>
  %rd = arith.constant dense<0.0> : tensor<3x2x4xf32>
  // CHECK: gru.gru {{.*}} initial_state({{.*}}) mask({{.*}}) reset({{.*}}) dropout_mask({{.*}}) recurrent_dropout_mask({{.*}})
  %seq, %last, %state = gru.gru %x kernel(%W, %U) initial_state(%h0 : tensor<2x4xf32>)
      mask(%mask : tensor<2x2xi1>) reset(%reset : tensor<2x2xi1>) dropout_mask(%d : tensor<1x2x3xf32>)
      recurrent_dropout_mask(%rd : tensor<3x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<2x2x4xf32>
}

// An all-false mask and an all-true reset are not neutral.
// CHECK-LABEL: func.func @opposite_splats
func.func @opposite_splats(%x: tensor<2x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x4xf32> {
  %no = arith.constant dense<false> : tensor<2x2xi1>
  %yes = arith.constant dense<true> : tensor<2x2xi1>
  // CHECK: gru.gru {{.*}} mask({{.*}}) reset({{.*}})
  %seq, %last, %state = gru.gru %x kernel(%W, %U) mask(%no : tensor<2x2xi1>) reset(%yes : tensor<2x2xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %last : tensor<2x4xf32>
}

// CHECK-LABEL: func.func @one_neutral_of_two
func.func @one_neutral_of_two(%x: tensor<2x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %m: tensor<2x2xi1>)
    -> tensor<2x4xf32> {
  %h0 = arith.constant dense<0.0> : tensor<2x4xf32>
  // CHECK-NOT: initial_state
  // CHECK: gru.gru {{.*}} mask(%{{.*}} : tensor<2x2xi1>) {
  %seq, %last, %state = gru.gru %x kernel(%W, %U) initial_state(%h0 : tensor<2x4xf32>) mask(%m : tensor<2x2xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %last : tensor<2x4xf32>
}

// Backends ask for the direction and the layout: they stay on the layer.
// CHECK-LABEL: func.func @direction_stays
func.func @direction_stays(%x: tensor<5x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<5x2x4xf32> {
  %r = gru.reverse %x {dim = 0} : tensor<5x2x3xf32>
  // CHECK: gru.reverse
  // CHECK: gru.gru {{.*}} go_backwards, {{.*}} time_major
  // CHECK: gru.reverse
  %seq, %last, %state = gru.gru %r kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards, time_major}
      : tensor<5x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<5x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %s = gru.reverse %seq {dim = 0} : tensor<5x2x4xf32>
  return %s : tensor<5x2x4xf32>
}

// CHECK-LABEL: func.func @double_reversal
// CHECK-SAME: %[[X:.+]]: tensor<?x?x8xf32>
func.func @double_reversal(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // CHECK-NEXT: return %[[X]]
  %y = gru.reverse %x {dim = 1} : tensor<?x?x8xf32>
  %z = gru.reverse %y {dim = 1} : tensor<?x?x8xf32>
  return %z : tensor<?x?x8xf32>
}

// CHECK-LABEL: func.func @reversal_of_two_dimensions
func.func @reversal_of_two_dimensions(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // CHECK: gru.reverse %{{.*}} {dim = 1 : i64}
  %y = gru.reverse %x {dim = 1} : tensor<?x?x8xf32>
  // CHECK: gru.reverse %{{.*}} {dim = 0 : i64}
  %z = gru.reverse %y {dim = 0} : tensor<?x?x8xf32>
  return %z : tensor<?x?x8xf32>
}

// CHECK-LABEL: func.func @linear_activation
// CHECK-SAME: %[[X:.+]]: tensor<?x8xf32>
func.func @linear_activation(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NEXT: return %[[X]]
  %y = gru.activation %x {kind = #gru.act<linear>} : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// CHECK-LABEL: func.func @repeated_activation
func.func @repeated_activation(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-COUNT-2: gru.activation
  %y = gru.activation %x {kind = #gru.act<tanh>} : tensor<?x8xf32>
  %z = gru.activation %y {kind = #gru.act<tanh>} : tensor<?x8xf32>
  return %z : tensor<?x8xf32>
}

// A cell stays a cell; gru-legalize turns it into a layer.
// CHECK-LABEL: func.func @cell_stays
func.func @cell_stays(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x4xf32> {
  // CHECK: gru.cell
  %y = gru.cell %x, %h kernel(%W, %U) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
