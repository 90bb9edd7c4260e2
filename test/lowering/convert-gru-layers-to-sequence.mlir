// RUN: %gru-opt %s --convert-gru-layers-to-sequence --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @reset_after
// CHECK-SAME: %[[X:.+]]: tensor<1x?x42xf32>, %[[W:.+]]: tensor<42x60xf32>, %[[U:.+]]: tensor<20x60xf32>, %[[B:.+]]: tensor<2x60xf32>, %[[H:.+]]: tensor<1x20xf32>
func.func @reset_after(%x: tensor<1x?x42xf32>, %W: tensor<42x60xf32>, %U: tensor<20x60xf32>, %b: tensor<2x60xf32>, %h: tensor<1x20xf32>)
    -> (tensor<1x?x20xf32>, tensor<1x20xf32>) {
  // CHECK-DAG: %[[WP:.+]] = gru.pack %[[W]] {gates = 3 : i64, part = #gru.part<all>, width = 32 : i64} : tensor<42x60xf32> -> tensor<1x42x3x32xf32>
  // CHECK-DAG: %[[BP:.+]] = gru.pack %[[B]] {gates = 3 : i64, part = #gru.part<input_bias>, width = 32 : i64} : tensor<2x60xf32> -> tensor<1x3x32xf32>
  // CHECK: %[[P:.+]] = gru.packed_dense ins(%[[X]], %[[WP]] : {{.*}}) bias(%[[BP]] : {{.*}} -> tensor<?x1x1x3x32xf32>
  // CHECK-DAG: %[[UP:.+]] = gru.pack %[[U]] {gates = 3 : i64, part = #gru.part<all>, width = 32 : i64} : tensor<20x60xf32> -> tensor<1x20x3x32xf32>
  // CHECK-DAG: %[[CP:.+]] = gru.pack %[[B]] {gates = 3 : i64, part = #gru.part<recurrent_bias>, width = 32 : i64} : tensor<2x60xf32> -> tensor<1x1x32xf32>
  // CHECK: %[[R:.+]]:2 = gru.recur ins(%[[P]] : {{.*}}) kernels(%[[UP]] : {{.*}}) recurrent_bias(%[[CP]] : {{.*}}) state(%[[H]] : tensor<1x20xf32>) sequence({{.*}})
  // CHECK-SAME: order = #gru.order<forward>{{.*}} reset_after
  // Without a mask the last output is the last state.
  // CHECK: return %[[R]]#1, %[[R]]#0
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x60xf32>) initial_state(%h : tensor<1x20xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<1x?x42xf32>, tensor<42x60xf32>, tensor<20x60xf32> -> tensor<1x?x20xf32>, tensor<1x20xf32>, tensor<1x20xf32>
  return %seq, %last : tensor<1x?x20xf32>, tensor<1x20xf32>
}

// The second product waits for r * h: its kernel is packed apart.
// CHECK-LABEL: func.func @without_reset_after
// CHECK-SAME: %[[U:[a-z0-9]+]]: tensor<4x12xf32>, %[[B:[a-z0-9]+]]: tensor<12xf32>
func.func @without_reset_after(%x: tensor<1x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<12xf32>) -> tensor<1x4xf32> {
  // CHECK-DAG: %[[BP:.+]] = gru.pack %[[B]] {gates = 3 : i64, part = #gru.part<all>
  // CHECK: gru.packed_dense {{.*}} bias(%[[BP]]
  // CHECK-DAG: %[[ZR:.+]] = gru.pack %[[U]] {gates = 3 : i64, part = #gru.part<gates>, {{.*}} -> tensor<1x4x2x4xf32>
  // CHECK-DAG: %[[C:.+]] = gru.pack %[[U]] {gates = 3 : i64, part = #gru.part<candidate>, {{.*}} -> tensor<1x4x1x4xf32>
  // CHECK-DAG: %[[ZERO:.+]] = linalg.fill
  // The sequence has no use and is not computed.
  // CHECK: %[[R:.+]] = gru.recur ins({{.*}}) kernels(%[[ZR]], %[[C]] : {{.*}}) state(%[[ZERO]] : tensor<1x4xf32>) {
  // CHECK-SAME: zero_initial_state
  // CHECK: return %[[R]]
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  return %last : tensor<1x4xf32>
}

// A mask lets the last output differ from the state; the state is always there.
// CHECK-LABEL: func.func @masked_last
func.func @masked_last(%x: tensor<?x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %m: tensor<?x2xi1>, %r: tensor<?x2xi1>)
    -> tensor<2x4xf32> {
  // CHECK: gru.packed_dense {{.*}} time_major
  // CHECK: %[[R:.+]]:2 = gru.recur {{.*}} mask({{.*}} : tensor<?x2xi1>) reset({{.*}} : tensor<?x2xi1>) state({{.*}}) last({{.*}})
  // CHECK-SAME: clip = 2.000000e+00 : f64, {{.*}} time_major, {{.*}} zero_output_for_mask
  // CHECK: return %[[R]]#1
  %seq, %last, %state = gru.gru %x kernel(%W, %U) mask(%m : tensor<?x2xi1>) reset(%r : tensor<?x2xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, time_major, zero_output_for_mask, clip = 2.0 : f64}
      : tensor<?x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %last : tensor<2x4xf32>
}

// CHECK-LABEL: func.func @go_backwards
func.func @go_backwards(%x: tensor<1x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<1x?x4xf32> {
  // CHECK: gru.recur {{.*}} order = #gru.order<backward_processed>
  %seq, %last, %state = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  return %seq : tensor<1x?x4xf32>
}

// A reversal behind it is the same loop, written elsewhere.
// CHECK-LABEL: func.func @reversed
func.func @reversed(%x: tensor<1x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<1x?x4xf32> {
  // CHECK: %[[R:.+]]:2 = gru.recur {{.*}} order = #gru.order<backward>
  // CHECK-NOT: gru.reverse
  // CHECK: return %[[R]]#1
  %seq, %last, %state = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  %y = gru.reverse %seq {dim = 1} : tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}

// Not where the sequence is also used as it is, or another dimension is reversed.
// CHECK-LABEL: func.func @reversed_and_used
func.func @reversed_and_used(%x: tensor<1x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> (tensor<1x?x4xf32>, tensor<1x?x4xf32>) {
  // CHECK: order = #gru.order<backward_processed>
  // CHECK: gru.reverse
  %seq, %last, %state = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  %y = gru.reverse %seq {dim = 1} : tensor<1x?x4xf32>
  return %y, %seq : tensor<1x?x4xf32>, tensor<1x?x4xf32>
}

// CHECK-LABEL: func.func @reversed_units
func.func @reversed_units(%x: tensor<1x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<1x?x4xf32> {
  // CHECK: order = #gru.order<backward_processed>
  // CHECK: gru.reverse
  %seq, %last, %state = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  %y = gru.reverse %seq {dim = 2} : tensor<1x?x4xf32>
  return %y : tensor<1x?x4xf32>
}

// Keras zeroes an unrolled reversed loop by the mask in its original order.
// CHECK-LABEL: func.func @unroll_quirk
func.func @unroll_quirk(%x: tensor<1x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %m: tensor<1x5xi1>) -> tensor<1x5x4xf32> {
  // CHECK: gru.recur {{.*}} unroll, zero_by_position, {{.*}} zero_output_for_mask
  %seq, %last, %state = gru.gru %x kernel(%W, %U) mask(%m : tensor<1x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, go_backwards, unroll, zero_output_for_mask}
      : tensor<1x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x5x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  return %seq : tensor<1x5x4xf32>
}

// One mask for all gates multiplies the input once.
// CHECK-LABEL: func.func @dropout_mask
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x?x3xf32>, {{.*}} %[[D:[a-z0-9]+]]: tensor<1x2x3xf32>
func.func @dropout_mask(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %d: tensor<1x2x3xf32>) -> tensor<2x4xf32> {
  // CHECK: %[[XD:.+]] = linalg.generic {{.*}} ins(%[[X]], %[[D]] :
  // CHECK: arith.mulf
  // CHECK: gru.packed_dense ins(%[[XD]],
  %seq, %last, %state = gru.gru %x kernel(%W, %U) dropout_mask(%d : tensor<1x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %state : tensor<2x4xf32>
}

// A mask per gate means an input per gate: three products into one projection.
// CHECK-LABEL: func.func @dropout_mask_per_gate
func.func @dropout_mask_per_gate(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %d: tensor<3x2x3xf32>) -> tensor<2x4xf32> {
  // CHECK: %[[WP:.+]] = gru.pack
  // CHECK: %[[XZ:.+]] = linalg.generic
  // CHECK: %[[WZ:.+]] = tensor.extract_slice %[[WP]][0, 0, 0, 0]
  // CHECK: %[[PZ:.+]] = gru.packed_dense ins(%[[XZ]], %[[WZ]] :
  // CHECK: %[[Z:.+]] = tensor.insert_slice %[[PZ]] into %{{.*}}[0, 0, 0, 0, 0]
  // CHECK: %[[WR:.+]] = tensor.extract_slice %[[WP]][0, 0, 1, 0]
  // CHECK: %[[PR:.+]] = gru.packed_dense ins(%{{.*}}, %[[WR]] :
  // CHECK: %[[ZR:.+]] = tensor.insert_slice %[[PR]] into %[[Z]][0, 0, 0, 1, 0]
  // CHECK: %[[WH:.+]] = tensor.extract_slice %[[WP]][0, 0, 2, 0]
  // CHECK: %[[PH:.+]] = gru.packed_dense ins(%{{.*}}, %[[WH]] :
  // CHECK: %[[P:.+]] = tensor.insert_slice %[[PH]] into %[[ZR]][0, 0, 0, 2, 0]
  // CHECK: gru.recur ins(%[[P]] :
  %seq, %last, %state = gru.gru %x kernel(%W, %U) dropout_mask(%d : tensor<3x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, implementation = 1 : i64}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %state : tensor<2x4xf32>
}

// CHECK-LABEL: func.func @dense
// CHECK-SAME: %[[X:.+]]: tensor<2x?x3xf32>, %[[W:.+]]: tensor<3x20xf32>, %[[B:.+]]: tensor<20xf32>
func.func @dense(%x: tensor<2x?x3xf32>, %W: tensor<3x20xf32>, %b: tensor<20xf32>) -> tensor<2x?x20xf32> {
  // CHECK-DAG: %[[WP:.+]] = gru.pack %[[W]] {gates = 1 : i64, part = #gru.part<all>, width = 16 : i64} : tensor<3x20xf32> -> tensor<2x3x1x16xf32>
  // CHECK-DAG: %[[BP:.+]] = gru.pack %[[B]] {gates = 1 : i64, {{.*}} -> tensor<2x1x16xf32>
  // CHECK: gru.packed_dense ins(%[[X]], %[[WP]] : {{.*}}) bias(%[[BP]] : {{.*}} {activation = #gru.act<tanh>, rows = 8 : i64} -> tensor<2x?x20xf32>
  %y = gru.dense %x, %W bias(%b : tensor<20xf32>) {activation = #gru.act<tanh>} : tensor<2x?x3xf32>, tensor<3x20xf32> -> tensor<2x?x20xf32>
  return %y : tensor<2x?x20xf32>
}

// CHECK-LABEL: func.func @dense_rowwise
func.func @dense_rowwise(%x: tensor<2x3xf32>, %W: tensor<3x20xf32>) -> tensor<2x20xf32> {
  // CHECK: %[[P:.+]] = gru.packed_dense {{.*}} {activation = #gru.act<linear>
  // CHECK: gru.activation %[[P]] {kind = #gru.act<softmax>}
  %y = gru.dense %x, %W {activation = #gru.act<softmax>} : tensor<2x3xf32>, tensor<3x20xf32> -> tensor<2x20xf32>
  return %y : tensor<2x20xf32>
}
