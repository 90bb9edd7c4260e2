// RUN: %gru-opt %s --convert-gru-to-cudnn --split-input-file | FileCheck %s

// One layer: what is used is computed, into destinations.

// CHECK-LABEL: @single
// CHECK: %[[SEQUENCE:.*]] = {{.*}}(%{{.*}}) : tensor<2x?x4xf32>
// CHECK: %[[STATE:.*]] = tensor.empty() : tensor<2x4xf32>
// CHECK: %[[CALL:.*]]:2 = gru.device_rnn "cudnn" ins(%arg0 : tensor<2x?x3xf32>) weights(%arg1, %arg2, %arg3 : {{[^)]*}})
// CHECK-SAME: sequences(%[[SEQUENCE]] : tensor<2x?x4xf32>) states(%[[STATE]] : tensor<2x4xf32>)
// CHECK-SAME: layers = 1 : i64
// CHECK-SAME: reset_after
// CHECK-NOT: gru.gru
// CHECK: return %[[CALL]]#0, %[[CALL]]#1
func.func @single(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> (tensor<2x?x4xf32>, tensor<2x4xf32>) {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s, %h : tensor<2x?x4xf32>, tensor<2x4xf32>
}

// -----

// Another backend's layer stays.

// CHECK-LABEL: @not_ours
// CHECK: gru.gru
// CHECK-NOT: gru.device_rnn
func.func @not_ours(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cpu"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x?x4xf32>
}

// -----

// A reversal behind a backward layer is the order in which it is written.

// CHECK-LABEL: @backward
// CHECK: gru.device_rnn "cudnn" {{.*}} go_backwards
// CHECK-SAME: writes_where_read
// CHECK-NOT: gru.reverse
func.func @backward(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn", go_backwards}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %r = gru.reverse %s {dim = 1} : tensor<2x?x4xf32>
  return %r : tensor<2x?x4xf32>
}

// -----

// Keras's own order of processing.

// CHECK-LABEL: @processed
// CHECK: gru.device_rnn "cudnn" {{.*}} go_backwards
// CHECK-NOT: writes_where_read
func.func @processed(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn", go_backwards}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x?x4xf32>
}

// -----

// Two directions over one input, whatever merges them.

// CHECK-LABEL: @bidirectional
// CHECK: %[[CALL:.*]]:2 = gru.device_rnn "cudnn" {{.*}} sequences(%{{.*}}, %{{.*}} : {{.*}}) {{.*}} bidirectional, layers = 1
// CHECK-NOT: gru.reverse
// CHECK: arith.addf %[[CALL]]#0, %[[CALL]]#1
func.func @bidirectional(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> tensor<2x?x4xf32> {
  %f, %fl, %fh = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %k, %kl, %kh = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn", go_backwards}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %r = gru.reverse %k {dim = 1} : tensor<2x?x4xf32>
  %sum = arith.addf %f, %r : tensor<2x?x4xf32>
  return %sum : tensor<2x?x4xf32>
}

// -----

// A stack becomes one call with the state of each layer.

// CHECK-LABEL: @stack
// CHECK: gru.device_rnn "cudnn" ins(%arg0 : {{.*}}) weights(%arg1, %arg2, %arg3, %arg4, %arg2, %arg3 : {{.*}}) sequences({{.*}}) states(%{{.*}}, %{{.*}} : {{.*}}) {{.*}} layers = 2
// CHECK-NOT: gru.gru
func.func @stack(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>, %W2: tensor<4x12xf32>) -> (tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %s2, %l2, %h2 = gru.gru %s kernel(%W2, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x4xf32>, tensor<4x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s2, %h, %h2 : tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
}

// -----

// Not one call: something else reads what passes between the layers.

// CHECK-LABEL: @shown_between
// CHECK-COUNT-2: layers = 1
func.func @shown_between(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>, %W2: tensor<4x12xf32>) -> (tensor<2x?x4xf32>, tensor<2x?x4xf32>) {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %s2, %l2, %h2 = gru.gru %s kernel(%W2, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x4xf32>, tensor<4x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s, %s2 : tensor<2x?x4xf32>, tensor<2x?x4xf32>
}

// -----

// Nor with another mask, here one and none.

// CHECK-LABEL: @other_mask
// CHECK: scf.if
// CHECK: layers = 1
// CHECK: layers = 1
func.func @other_mask(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>, %W2: tensor<4x12xf32>, %m: tensor<2x?xi1>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>) mask(%m : tensor<2x?xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %s2, %l2, %h2 = gru.gru %s kernel(%W2, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x4xf32>, tensor<4x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s2 : tensor<2x?x4xf32>
}

// -----

// Layers with two directions stack where both read the concatenation.

// CHECK-LABEL: @bidirectional_stack
// CHECK: gru.device_rnn "cudnn" {{.*}} lasts(%{{.*}}, %{{.*}} : {{.*}}) {{.*}} bidirectional, layers = 2
// CHECK-NOT: tensor.concat
// CHECK-NOT: gru.gru
func.func @bidirectional_stack(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>, %W2: tensor<8x12xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %f, %fl, %fh = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %k, %kl, %kh = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn", go_backwards}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %r = gru.reverse %k {dim = 1} : tensor<2x?x4xf32>
  %c = tensor.concat dim(2) %f, %r : (tensor<2x?x4xf32>, tensor<2x?x4xf32>) -> tensor<2x?x8xf32>
  %f2, %fl2, %fh2 = gru.gru %c kernel(%W2, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x8xf32>, tensor<8x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %k2, %kl2, %kh2 = gru.gru %c kernel(%W2, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn", go_backwards}
      : tensor<2x?x8xf32>, tensor<8x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %fl2, %kl2 : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----

// A mask is looked at in each run. Otherwise the next backend takes the layer; both
// write the same destinations.

// CHECK-LABEL: @mask
// CHECK-SAME: %[[MASK:[a-z0-9]*]]: tensor<2x?xi1>)
// CHECK: %[[SEQUENCE:.*]] = {{.*}}(%{{.*}}) : tensor<2x?x4xf32>
// CHECK: %[[PADDED:.*]] = scf.for
// CHECK:   scf.for
// CHECK:     tensor.extract %[[MASK]]
// CHECK: %[[RESULT:.*]] = scf.if %[[PADDED]]
// CHECK:   %[[CALL:.*]] = gru.device_rnn "cudnn" {{.*}} mask(%[[MASK]] : tensor<2x?xi1>) sequences(%[[SEQUENCE]] : {{.*}})
// CHECK:   scf.yield %[[CALL]]
// CHECK: } else {
// CHECK:   %[[OTHER:.*]], %{{.*}}, %{{.*}} = gru.gru {{.*}} mask(%[[MASK]] : tensor<2x?xi1>) {{.*}} gru.backend = "gpu"
// CHECK:   %[[WRITTEN:.*]] = bufferization.materialize_in_destination %[[OTHER]] in %[[SEQUENCE]]
// CHECK:   scf.yield %[[WRITTEN]]
// CHECK: return %[[RESULT]]
func.func @mask(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>, %m: tensor<2x?xi1>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>) mask(%m : tensor<2x?xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, gru.backend = "cudnn"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x?x4xf32>
}
