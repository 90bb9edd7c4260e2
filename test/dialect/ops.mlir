// Round trip of every operation, clause and attribute, in both forms.
// RUN: %gru-opt %s | FileCheck %s
// RUN: %gru-opt %s --mlir-print-op-generic | %gru-opt | FileCheck %s

//===----------------------------------------------------------------------===//
// Layer level
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @gru_dynamic
// CHECK-SAME: %[[X:.+]]: tensor<?x?x42xf32>, %[[W:.+]]: tensor<42x192xf32>, %[[U:.+]]: tensor<64x192xf32>, %[[B:.+]]: tensor<2x192xf32>
func.func @gru_dynamic(%x: tensor<?x?x42xf32>, %W: tensor<42x192xf32>, %U: tensor<64x192xf32>, %b: tensor<2x192xf32>)
    -> (tensor<?x?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
  // CHECK: gru.gru %[[X]] kernel(%[[W]], %[[U]]) bias(%[[B]] : tensor<2x192xf32>)
  // CHECK-SAME: {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
  // CHECK-SAME: : tensor<?x?x42xf32>, tensor<42x192xf32>, tensor<64x192xf32>
  // CHECK-SAME: -> tensor<?x?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x192xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<?x?x42xf32>, tensor<42x192xf32>, tensor<64x192xf32>
      -> tensor<?x?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
  return %seq, %last, %state : tensor<?x?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
}

// CHECK-LABEL: func.func @gru_all_operands
func.func @gru_all_operands(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>,
                            %h: tensor<2x4xf32>, %m: tensor<2x5xi1>, %r: tensor<2x5xi1>, %d: tensor<1x2x3xf32>,
                            %rd: tensor<3x2x4xf32>) -> tensor<2x5x4xf32> {
  // CHECK: bias({{.*}}) initial_state({{.*}} : tensor<2x4xf32>) mask({{.*}} : tensor<2x5xi1>) reset({{.*}} : tensor<2x5xi1>)
  // CHECK-SAME: dropout_mask({{.*}} : tensor<1x2x3xf32>) recurrent_dropout_mask({{.*}} : tensor<3x2x4xf32>)
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>) initial_state(%h : tensor<2x4xf32>)
      mask(%m : tensor<2x5xi1>) reset(%r : tensor<2x5xi1>) dropout_mask(%d : tensor<1x2x3xf32>)
      recurrent_dropout_mask(%rd : tensor<3x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %seq : tensor<2x5x4xf32>
}

// CHECK-LABEL: func.func @gru_all_attributes
func.func @gru_all_attributes(%x: tensor<5x2x3xf64>, %W: tensor<3x12xf64>, %U: tensor<4x12xf64>, %b: tensor<12xf64>,
                              %n: tensor<2xi32>, %d: tensor<3x2x3xf64>) -> tensor<2x4xf64> {
  // CHECK: lengths({{.*}} : tensor<2xi32>) dropout_mask({{.*}} : tensor<3x2x3xf64>)
  // CHECK-SAME: {activation = #gru.act<tanh>, clip = 3.000000e+00 : f64, dropout = 1.000000e-01 : f64, from_cell, go_backwards,
  // CHECK-SAME: implementation = 1 : i64, recurrent_activation = #gru.act<sigmoid>, recurrent_dropout = 2.000000e-01 : f64,
  // CHECK-SAME: time_major, unroll, zero_output_for_mask}
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<12xf64>) lengths(%n : tensor<2xi32>)
      dropout_mask(%d : tensor<3x2x3xf64>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards, time_major, unroll, from_cell,
       zero_output_for_mask, implementation = 1 : i64, dropout = 0.1 : f64, recurrent_dropout = 0.2 : f64, clip = 3.0 : f64}
      : tensor<5x2x3xf64>, tensor<3x12xf64>, tensor<4x12xf64> -> tensor<5x2x4xf64>, tensor<2x4xf64>, tensor<2x4xf64>
  return %last : tensor<2x4xf64>
}

// Other element types, and no bias.
// CHECK-LABEL: func.func @gru_bf16
func.func @gru_bf16(%x: tensor<1x1x1xbf16>, %W: tensor<1x3xbf16>, %U: tensor<1x3xbf16>) -> tensor<1x1xbf16> {
  // CHECK: gru.gru %{{.*}} kernel(%{{.*}}, %{{.*}}) {
  %seq, %last, %state = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<1x1x1xbf16>, tensor<1x3xbf16>, tensor<1x3xbf16> -> tensor<1x1x1xbf16>, tensor<1x1xbf16>, tensor<1x1xbf16>
  return %state : tensor<1x1xbf16>
}

// CHECK-LABEL: func.func @cell_dropout
func.func @cell_dropout(%x: tensor<2x3xf32>, %h0: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>,
                        %d: tensor<3x2x3xf32>, %rd: tensor<3x2x4xf32>) -> tensor<2x4xf32> {
  // CHECK: gru.cell %{{.*}}, %{{.*}} kernel(%{{.*}}, %{{.*}}) dropout_mask(%{{.*}} : tensor<3x2x3xf32>) recurrent_dropout_mask(%{{.*}} : tensor<3x2x4xf32>)
  // CHECK-SAME: implementation = 1 : i64
  %h1 = gru.cell %x, %h0 kernel(%W, %U) recurrent_dropout_mask(%rd : tensor<3x2x4xf32>) dropout_mask(%d : tensor<3x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, implementation = 1 : i64}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %h1 : tensor<2x4xf32>
}

// CHECK-LABEL: func.func @cell
func.func @cell(%x: tensor<?x3xf32>, %h0: tensor<?x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>,
                %b: tensor<2x12xf32>) -> tensor<?x4xf32> {
  // CHECK: gru.cell %{{.*}}, %{{.*}} kernel(%{{.*}}, %{{.*}}) bias(%{{.*}} : tensor<2x12xf32>)
  // CHECK-SAME: : tensor<?x3xf32>, tensor<?x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x4xf32>
  %h1 = gru.cell %x, %h0 kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<?x3xf32>, tensor<?x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x4xf32>
  // CHECK: gru.cell %{{.*}}, %{{.*}} kernel(%{{.*}}, %{{.*}}) {activation = #gru.act<relu, {{.*}}>, clip = 1.000000e+00 : f64
  %h2 = gru.cell %x, %h1 kernel(%W, %U)
      {activation = #gru.act<relu>, recurrent_activation = #gru.act<hard_sigmoid>, clip = 1.0 : f64}
      : tensor<?x3xf32>, tensor<?x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x4xf32>
  return %h2 : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @dense
func.func @dense(%x: tensor<?x?x42xf32>, %v: tensor<42xf32>, %W: tensor<42x24xf32>, %b: tensor<24xf32>)
    -> (tensor<?x?x24xf32>, tensor<24xf32>) {
  // CHECK: gru.dense %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<24xf32>) {activation = #gru.act<tanh>} : tensor<?x?x42xf32>, tensor<42x24xf32> -> tensor<?x?x24xf32>
  %y = gru.dense %x, %W bias(%b : tensor<24xf32>) {activation = #gru.act<tanh>}
      : tensor<?x?x42xf32>, tensor<42x24xf32> -> tensor<?x?x24xf32>
  // CHECK: gru.dense %{{.*}}, %{{.*}} {activation = #gru.act<linear>} : tensor<42xf32>, tensor<42x24xf32> -> tensor<24xf32>
  %z = gru.dense %v, %W {activation = #gru.act<linear>} : tensor<42xf32>, tensor<42x24xf32> -> tensor<24xf32>
  return %y, %z : tensor<?x?x24xf32>, tensor<24xf32>
}

// CHECK-LABEL: func.func @activation
func.func @activation(%x: tensor<?x8xf32>, %u: vector<16xf32>, %s: f64) -> (tensor<?x8xf32>, vector<16xf32>, f64) {
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<softplus>} : tensor<?x8xf32>
  %y = gru.activation %x {kind = #gru.act<softplus>} : tensor<?x8xf32>
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<tanh>} : vector<16xf32>
  %v = gru.activation %u {kind = #gru.act<tanh>} : vector<16xf32>
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<gelu>} : f64
  %w = gru.activation %s {kind = #gru.act<gelu>} : f64
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<sparsemax>} : tensor<?x8xf32>
  %z = gru.activation %y {kind = #gru.act<sparsemax>} : tensor<?x8xf32>
  return %z, %v, %w : tensor<?x8xf32>, vector<16xf32>, f64
}

// CHECK-LABEL: func.func @reverse
func.func @reverse(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // CHECK: gru.reverse %{{.*}} {dim = 1 : i64} : tensor<?x?x8xf32>
  %y = gru.reverse %x {dim = 1} : tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

//===----------------------------------------------------------------------===//
// Sequence level
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @pack
func.func @pack(%U: tensor<64x192xf32>, %b: tensor<2x192xf32>, %c: tensor<20xf32>) -> tensor<4x64x3x16xf32> {
  // CHECK: gru.pack %{{.*}} {gates = 3 : i64, part = #gru.part<all>, width = 16 : i64} : tensor<64x192xf32> -> tensor<4x64x3x16xf32>
  %Up = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16} : tensor<64x192xf32> -> tensor<4x64x3x16xf32>
  // CHECK: part = #gru.part<gates>{{.*}} -> tensor<4x64x2x16xf32>
  %0 = gru.pack %U {part = #gru.part<gates>, gates = 3, width = 16} : tensor<64x192xf32> -> tensor<4x64x2x16xf32>
  // CHECK: part = #gru.part<candidate>{{.*}} -> tensor<4x64x1x16xf32>
  %1 = gru.pack %U {part = #gru.part<candidate>, gates = 3, width = 16} : tensor<64x192xf32> -> tensor<4x64x1x16xf32>
  // CHECK: part = #gru.part<input_bias>{{.*}} -> tensor<4x3x16xf32>
  %2 = gru.pack %b {part = #gru.part<input_bias>, gates = 3, width = 16} : tensor<2x192xf32> -> tensor<4x3x16xf32>
  // CHECK: part = #gru.part<recurrent_bias>{{.*}} -> tensor<4x1x16xf32>
  %3 = gru.pack %b {part = #gru.part<recurrent_bias>, gates = 3, width = 16} : tensor<2x192xf32> -> tensor<4x1x16xf32>
  // A vector, and a last block that is padded.
  // CHECK: gates = 1 : i64, {{.*}} : tensor<20xf32> -> tensor<3x1x8xf32>
  %4 = gru.pack %c {part = #gru.part<all>, gates = 1, width = 8} : tensor<20xf32> -> tensor<3x1x8xf32>
  return %Up : tensor<4x64x3x16xf32>
}

// CHECK-LABEL: func.func @packed_dense
func.func @packed_dense(%x: tensor<1x?x42xf32>, %Wp: tensor<4x42x3x16xf32>, %bp: tensor<4x3x16xf32>,
                        %e: tensor<?x1x4x3x16xf32>, %xm: memref<?x8xf32>, %Wm: memref<2x8x1x16xf32>,
                        %ym: memref<?x20xf32>, %xt: memref<5x2x8xf32>, %Pt: memref<5x2x2x1x16xf32>) -> tensor<?x1x4x3x16xf32> {
  // CHECK: gru.packed_dense ins(%{{.*}}, %{{.*}} : tensor<1x?x42xf32>, tensor<4x42x3x16xf32>) bias(%{{.*}} : tensor<4x3x16xf32>)
  // CHECK-SAME: outs(%{{.*}} : tensor<?x1x4x3x16xf32>) {activation = #gru.act<linear>} -> tensor<?x1x4x3x16xf32>
  %p = gru.packed_dense ins(%x, %Wp : tensor<1x?x42xf32>, tensor<4x42x3x16xf32>)
      bias(%bp : tensor<4x3x16xf32>) outs(%e : tensor<?x1x4x3x16xf32>)
      {activation = #gru.act<linear>} -> tensor<?x1x4x3x16xf32>
  // On memrefs there is no result.
  // CHECK: gru.packed_dense ins({{.*}}) outs(%{{.*}} : memref<?x20xf32>) {activation = #gru.act<relu{{.*}}>, rows = 4 : i64}{{$}}
  gru.packed_dense ins(%xm, %Wm : memref<?x8xf32>, memref<2x8x1x16xf32>) outs(%ym : memref<?x20xf32>)
      {activation = #gru.act<relu>, rows = 4 : i64}
  // CHECK: gru.packed_dense {{.*}} time_major
  gru.packed_dense ins(%xt, %Wm : memref<5x2x8xf32>, memref<2x8x1x16xf32>) outs(%Pt : memref<5x2x2x1x16xf32>)
      {activation = #gru.act<linear>, time_major}
  return %p : tensor<?x1x4x3x16xf32>
}

// CHECK-LABEL: func.func @recur
func.func @recur(%p: tensor<?x1x4x3x16xf32>, %U: tensor<4x64x3x16xf32>, %c: tensor<4x1x16xf32>, %h0: tensor<1x64xf32>,
                 %e: tensor<1x?x64xf32>) -> tensor<1x?x64xf32> {
  // CHECK: gru.recur ins(%{{.*}} : tensor<?x1x4x3x16xf32>) kernels(%{{.*}} : tensor<4x64x3x16xf32>) recurrent_bias(%{{.*}} : tensor<4x1x16xf32>)
  // CHECK-SAME: state(%{{.*}} : tensor<1x64xf32>) sequence(%{{.*}} : tensor<1x?x64xf32>)
  // CHECK-SAME: order = #gru.order<forward>
  // CHECK-SAME: -> tensor<1x64xf32>, tensor<1x?x64xf32>
  %h, %seq = gru.recur ins(%p : tensor<?x1x4x3x16xf32>) kernels(%U : tensor<4x64x3x16xf32>)
      recurrent_bias(%c : tensor<4x1x16xf32>) state(%h0 : tensor<1x64xf32>)
      sequence(%e : tensor<1x?x64xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>,
       order = #gru.order<forward>, reset_after}
      -> tensor<1x64xf32>, tensor<1x?x64xf32>
  return %seq : tensor<1x?x64xf32>
}

// CHECK-LABEL: func.func @recur_two_kernels
func.func @recur_two_kernels(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %V: memref<1x7x1x16xf32>,
                             %m: memref<5x2xi1>, %r: memref<5x2xi1>, %h: memref<2x7xf32>, %s: memref<5x2x7xf32>,
                             %l: memref<2x7xf32>) {
  // CHECK: kernels(%{{.*}}, %{{.*}} : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>) mask(%{{.*}} : memref<5x2xi1>) reset(%{{.*}} : memref<5x2xi1>)
  // CHECK-SAME: state({{.*}}) sequence({{.*}}) last({{.*}})
  // CHECK-SAME: clip = 2.000000e+00 : f64, order = #gru.order<backward_processed>
  // CHECK-SAME: rows = 2 : i64, time_major, unroll, zero_by_position, zero_initial_state, zero_output_for_mask}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U, %V : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>)
      mask(%m : memref<5x2xi1>) reset(%r : memref<5x2xi1>) state(%h : memref<2x7xf32>)
      sequence(%s : memref<5x2x7xf32>) last(%l : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward_processed>,
       time_major, zero_output_for_mask, zero_by_position, zero_initial_state, unroll, clip = 2.0 : f64, rows = 2 : i64}
  // CHECK: order = #gru.order<backward>
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U, %V : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>)
      state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>}
  return
}

//===----------------------------------------------------------------------===//
// Step level
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @step
func.func @step(%p: memref<2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %c: memref<1x1x16xf32>, %h: memref<2x16xf32>,
                %n: memref<2x16xf32>, %o: memref<2x7xf32>, %m: memref<2xi1>, %e: memref<2xi1>, %a: memref<2x3x16xf32>) {
  // CHECK: gru.step <all> projection(%{{.*}} : memref<2x1x3x16xf32>) kernel(%{{.*}} : memref<1x7x3x16xf32>) recurrent_bias(%{{.*}} : memref<1x1x16xf32>)
  // CHECK-SAME: preactivations(%{{.*}} : memref<2x3x16xf32>) new_state(%{{.*}} : memref<2x16xf32>) output(%{{.*}} : memref<2x7xf32>)
  // CHECK-SAME: mask(%{{.*}} : memref<2xi1>) emit(%{{.*}} : memref<2xi1>) state(%{{.*}} : memref<2x16xf32>)
  // CHECK-SAME: clip = 2.000000e+00 : f64, recurrent_activation = #gru.act<sigmoid>, rows = 2 : i64, units = 7 : i64
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%U : memref<1x7x3x16xf32>)
      recurrent_bias(%c : memref<1x1x16xf32>) preactivations(%a : memref<2x3x16xf32>) new_state(%n : memref<2x16xf32>)
      output(%o : memref<2x7xf32>) mask(%m : memref<2xi1>) emit(%e : memref<2xi1>) state(%h : memref<2x16xf32>)
      {units = 7, rows = 2 : i64, clip = 2.0 : f64, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// CHECK-LABEL: func.func @step_phases
func.func @step_phases(%p: memref<2x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %V: memref<1x7x1x16xf32>, %h: memref<2x16xf32>,
                       %z: memref<2x16xf32>, %rh: memref<2x16xf32>) {
  // CHECK: gru.step <gates> {{.*}} update(%{{.*}} : memref<2x16xf32>) reset_state(%{{.*}} : memref<2x16xf32>) state(
  gru.step <gates> projection(%p : memref<2x1x3x16xf32>) kernel(%U : memref<1x7x2x16xf32>)
      update(%z : memref<2x16xf32>) reset_state(%rh : memref<2x16xf32>) state(%h : memref<2x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  // CHECK: gru.step <candidate> {{.*}} new_state(
  gru.step <candidate> projection(%p : memref<2x1x3x16xf32>) kernel(%V : memref<1x7x1x16xf32>)
      update(%z : memref<2x16xf32>) reset_state(%rh : memref<2x16xf32>) new_state(%h : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

// Parameters are printed in full; an infinite bound is none.
// CHECK-LABEL: func.func private @activation_kinds
// CHECK-SAME: #gru.act<linear>, #gru.act<tanh>, #gru.act<sigmoid>
// CHECK-SAME: #gru.act<hard_sigmoid, alpha = 0.16666{{[0-9]+}}, beta = 5.000000e-01>, #gru.act<hard_sigmoid, alpha = 2.000000e-01, beta = 5.000000e-01>
// CHECK-SAME: #gru.act<relu, alpha = 0.000000e+00, gamma = 0.000000e+00>, #gru.act<relu, alpha = 1.000000e-01, beta = 6.000000e+00, gamma = 5.000000e-01>
// CHECK-SAME: #gru.act<leaky_relu, alpha = 2.000000e-01>, #gru.act<leaky_relu, alpha = 3.000000e-01>
// CHECK-SAME: #gru.act<elu, alpha = 1.000000e+00>, #gru.act<celu, alpha = 2.000000e+00>, #gru.act<selu>
// CHECK-SAME: #gru.act<softplus>, #gru.act<softsign>, #gru.act<squareplus, alpha = 4.000000e+00>
// CHECK-SAME: #gru.act<soft_shrink, alpha = 5.000000e-01>, #gru.act<hard_shrink, alpha = 5.000000e-01>
// CHECK-SAME: #gru.act<hard_tanh>, #gru.act<tanh_shrink>, #gru.act<sparse_plus>, #gru.act<sparse_sigmoid>
// CHECK-SAME: #gru.act<silu>, #gru.act<gelu>, #gru.act<exponential>, #gru.act<hard_silu>, #gru.act<mish>, #gru.act<log_sigmoid>
// CHECK-SAME: #gru.act<softmax>, #gru.act<log_softmax>, #gru.act<sparsemax>
// CHECK-SAME: #gru.act<affine, alpha = 1.000000e+00, beta = 0.000000e+00>, #gru.act<thresholded_relu, alpha = 1.000000e+00>
// CHECK-SAME: #gru.act<scaled_tanh, alpha = 1.000000e+00, beta = 5.000000e-01>
func.func private @activation_kinds() attributes {kinds = [
  #gru.act<linear>, #gru.act<tanh>, #gru.act<sigmoid>,
  #gru.act<hard_sigmoid>, #gru.act<hard_sigmoid, alpha = 0.2, beta = 0.5>,
  #gru.act<relu>, #gru.act<relu, alpha = 0.1, beta = 6.0, gamma = 0.5>,
  #gru.act<leaky_relu>, #gru.act<leaky_relu, alpha = 0.3>,
  #gru.act<elu>, #gru.act<celu, alpha = 2.0>, #gru.act<selu>,
  #gru.act<softplus>, #gru.act<softsign>, #gru.act<squareplus>, #gru.act<soft_shrink>, #gru.act<hard_shrink>,
  #gru.act<hard_tanh>, #gru.act<tanh_shrink>, #gru.act<sparse_plus>, #gru.act<sparse_sigmoid>,
  #gru.act<silu>, #gru.act<gelu>, #gru.act<exponential>, #gru.act<hard_silu>, #gru.act<mish>, #gru.act<log_sigmoid>,
  #gru.act<softmax>, #gru.act<log_softmax>, #gru.act<sparsemax>,
  #gru.act<affine>, #gru.act<thresholded_relu>, #gru.act<scaled_tanh, beta = 0.5>]}

// CHECK-LABEL: func.func @dropout_mask
func.func @dropout_mask(%key: tensor<3xi64>, %x: tensor<?x?x8xf32>, %y: tensor<2x4xbf16>) -> (tensor<3x?x8xf32>, tensor<2x4xbf16>) {
  // CHECK: gru.dropout_mask %{{.*}} like %{{.*}} {dims = array<i64: 3, -1, 8>, rate = 2.500000e-01 : f64, {{.*}}stream = 0 : i64} : tensor<3xi64>, tensor<?x?x8xf32> -> tensor<3x?x8xf32>
  %m = gru.dropout_mask %key like %x {dims = array<i64: 3, -1, 8>, rate = 0.25, scale = 1.3333334, stream = 0}
      : tensor<3xi64>, tensor<?x?x8xf32> -> tensor<3x?x8xf32>
  // CHECK: gru.dropout_mask {{.*}} recurrent, {{.*}} seed = 7 : i64
  %n = gru.dropout_mask %key like %y {dims = array<i64: -1, -2>, rate = 0.5, scale = 2.0, stream = 1, seed = 7, recurrent}
      : tensor<3xi64>, tensor<2x4xbf16> -> tensor<2x4xbf16>
  return %m, %n : tensor<3x?x8xf32>, tensor<2x4xbf16>
}

// CHECK-LABEL: func.func @random_normal
func.func @random_normal(%key: tensor<3xi64>, %x: tensor<?x8xf32>, %y: tensor<2x4xf64>) -> (tensor<?x8xf32>, tensor<2x4xf64>) {
  // CHECK: gru.random_normal %{{.*}} like %{{.*}} {dims = array<i64: -1, -2>, mean = 1.000000e+00 : f64, stddev = 5.000000e-01 : f64, stream = 0 : i64} : tensor<3xi64>, tensor<?x8xf32> -> tensor<?x8xf32>
  %n = gru.random_normal %key like %x {dims = array<i64: -1, -2>, mean = 1.0, stddev = 0.5, stream = 0}
      : tensor<3xi64>, tensor<?x8xf32> -> tensor<?x8xf32>
  // CHECK: gru.random_normal {{.*}} seed = 7 : i64
  %m = gru.random_normal %key like %y {dims = array<i64: 2, 4>, mean = 0.0, stddev = 1.0, stream = 1, seed = 7}
      : tensor<3xi64>, tensor<2x4xf64> -> tensor<2x4xf64>
  return %n, %m : tensor<?x8xf32>, tensor<2x4xf64>
}
