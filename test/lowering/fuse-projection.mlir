// RUN: %gru-opt %s --gru-fuse-projection | FileCheck %s
// RUN: %gru-opt %s --gru-fuse-projection="rows=4" | FileCheck %s --check-prefix=FOUR

// One timestep: the step makes the projection itself.
// CHECK-LABEL: func.func @streaming
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x1x5xf32>, %[[W:[a-z0-9]+]]: tensor<1x5x3x16xf32>, %[[B:[a-z0-9]+]]: tensor<1x3x16xf32>
func.func @streaming(%x: tensor<1x1x5xf32>, %W: tensor<1x5x3x16xf32>, %b: tensor<1x3x16xf32>, %e: tensor<1x1x1x3x16xf32>, %U: tensor<1x7x3x16xf32>, %h: tensor<1x7xf32>) -> tensor<1x7xf32> {
  // CHECK-NOT: gru.packed_dense
  // CHECK: gru.recur input(%[[X]] : {{.*}}) input_kernel(%[[W]] : {{.*}}) input_bias(%[[B]] : {{.*}}) kernels(
  %p = gru.packed_dense ins(%x, %W : tensor<1x1x5xf32>, tensor<1x5x3x16xf32>) bias(%b : tensor<1x3x16xf32>) outs(%e : tensor<1x1x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<1x1x1x3x16xf32>
  %r = gru.recur ins(%p : tensor<1x1x1x3x16xf32>) kernels(%U : tensor<1x7x3x16xf32>) state(%h : tensor<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<1x7xf32>
  return %r : tensor<1x7xf32>
}

// Many timesteps: from some rows on.
// CHECK-LABEL: func.func @batch
// FOUR-LABEL: func.func @batch
func.func @batch(%x: tensor<4x?x5xf32>, %W: tensor<1x5x3x16xf32>, %e: tensor<?x4x1x3x16xf32>, %U: tensor<1x7x3x16xf32>, %h: tensor<4x7xf32>) -> tensor<4x7xf32> {
  // CHECK: gru.packed_dense
  // CHECK: gru.recur ins(
  // FOUR-NOT: gru.packed_dense
  // FOUR: gru.recur input(%{{.*}}) input_kernel(%{{.*}}) kernels(
  %p = gru.packed_dense ins(%x, %W : tensor<4x?x5xf32>, tensor<1x5x3x16xf32>) outs(%e : tensor<?x4x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<?x4x1x3x16xf32>
  %r = gru.recur ins(%p : tensor<?x4x1x3x16xf32>) kernels(%U : tensor<1x7x3x16xf32>) state(%h : tensor<4x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<4x7xf32>
  return %r : tensor<4x7xf32>
}

// Refused: a row-wise activation, a half type, a projection with another use.
// CHECK-LABEL: func.func @rowwise
func.func @rowwise(%x: tensor<1x1x5xf32>, %W: tensor<1x5x3x16xf32>, %e: tensor<1x1x1x3x16xf32>, %U: tensor<1x7x3x16xf32>, %h: tensor<1x7xf32>) -> tensor<1x7xf32> {
  // CHECK: gru.packed_dense
  %p = gru.packed_dense ins(%x, %W : tensor<1x1x5xf32>, tensor<1x5x3x16xf32>) outs(%e : tensor<1x1x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<1x1x1x3x16xf32>
  %r = gru.recur ins(%p : tensor<1x1x1x3x16xf32>) kernels(%U : tensor<1x7x3x16xf32>) state(%h : tensor<1x7xf32>)
      {activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<1x7xf32>
  return %r : tensor<1x7xf32>
}

// CHECK-LABEL: func.func @half
func.func @half(%x: tensor<1x1x5xf16>, %W: tensor<1x5x3x32xf16>, %e: tensor<1x1x1x3x32xf16>, %U: tensor<1x7x3x32xf16>, %h: tensor<1x7xf16>) -> tensor<1x7xf16> {
  // CHECK: gru.packed_dense
  %p = gru.packed_dense ins(%x, %W : tensor<1x1x5xf16>, tensor<1x5x3x32xf16>) outs(%e : tensor<1x1x1x3x32xf16>) {activation = #gru.act<linear>} -> tensor<1x1x1x3x32xf16>
  %r = gru.recur ins(%p : tensor<1x1x1x3x32xf16>) kernels(%U : tensor<1x7x3x32xf16>) state(%h : tensor<1x7xf16>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<1x7xf16>
  return %r : tensor<1x7xf16>
}

// CHECK-LABEL: func.func @used_twice
func.func @used_twice(%x: tensor<1x1x5xf32>, %W: tensor<1x5x3x16xf32>, %e: tensor<1x1x1x3x16xf32>, %U: tensor<1x7x3x16xf32>, %h: tensor<1x7xf32>) -> (tensor<1x7xf32>, tensor<1x1x1x3x16xf32>) {
  // CHECK: gru.packed_dense
  %p = gru.packed_dense ins(%x, %W : tensor<1x1x5xf32>, tensor<1x5x3x16xf32>) outs(%e : tensor<1x1x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<1x1x1x3x16xf32>
  %r = gru.recur ins(%p : tensor<1x1x1x3x16xf32>) kernels(%U : tensor<1x7x3x16xf32>) state(%h : tensor<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<1x7xf32>
  return %r, %p : tensor<1x7xf32>, tensor<1x1x1x3x16xf32>
}
