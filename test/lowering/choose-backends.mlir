// RUN: %gru-opt %s --gru-choose-backends=target=cudnn | FileCheck %s
// RUN: %gru-opt %s --gru-choose-backends="target=gpu" | FileCheck %s --check-prefix=GPU
// RUN: %gru-opt %s --gru-choose-backends="target=auto cudnn-problem=absent gpu-problem=absent" | FileCheck %s --check-prefix=NODEVICE
// RUN: %gru-opt %s --gru-choose-backends="target=auto" | FileCheck %s

// One function per condition of cuDNN, and what it leaves to whom. Without a
// device auto is cpu throughout.

// GPU-NOT: "cudnn"
// NODEVICE-NOT: "cudnn"
// NODEVICE-NOT: "gpu"

// CHECK-LABEL: @eligible
// CHECK: gru.backend = "cudnn"
// GPU-LABEL: @eligible
// GPU: gru.backend = "gpu"
// NODEVICE-LABEL: @eligible
// NODEVICE: gru.backend = "cpu"
func.func @eligible(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<2x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// What only Keras's rule refuses: no bias, unroll, recurrent_dropout at
// inference, an RNN around a cell, TimeDistributed.
// CHECK-LABEL: @wider_than_keras
// CHECK: gru.backend = "cudnn"
func.func @wider_than_keras(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, unroll, from_cell,
       recurrent_dropout = 0.5 : f64, gru.time_distributed}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @cell
// CHECK: gru.backend = "cudnn"
func.func @cell(%x: tensor<2x3xf32>, %h0: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x4xf32> {
  %h = gru.cell %x, %h0 kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %h : tensor<2x4xf32>
}

// CHECK-LABEL: @half_precision
// CHECK: gru.backend = "cudnn"
// The kernel of the gpu target has no half precision.
// GPU-LABEL: @half_precision
// GPU: gru.backend = "cpu"
func.func @half_precision(%x: tensor<2x5x3xf16>, %W: tensor<3x12xf16>, %U: tensor<4x12xf16>) -> tensor<2x5x4xf16> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf16>, tensor<3x12xf16>, tensor<4x12xf16> -> tensor<2x5x4xf16>, tensor<2x4xf16>, tensor<2x4xf16>
  return %s : tensor<2x5x4xf16>
}

// CHECK-LABEL: @activation
// CHECK: gru.backend = "gpu"
func.func @activation(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<relu>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @recurrent_activation
// CHECK: gru.backend = "gpu"
func.func @recurrent_activation(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<hard_sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @reset_before
// CHECK: gru.backend = "gpu"
func.func @reset_before(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @clip
// CHECK: gru.backend = "gpu"
func.func @clip(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, clip = 3.0 : f64}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// A mask is data: whether it is right-padded is asked in each run.
// CHECK-LABEL: @mask
// CHECK: gru.backend = "cudnn"
func.func @mask(%x: tensor<2x5x3xf32>, %m: tensor<2x5xi1>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) mask(%m : tensor<2x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// Neither device target applies masks of dropout or resets.
// CHECK-LABEL: @dropout_mask
// CHECK: gru.backend = "cpu"
func.func @dropout_mask(%x: tensor<2x5x3xf32>, %m: tensor<1x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) dropout_mask(%m : tensor<1x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @reset
// CHECK: gru.backend = "cpu"
func.func @reset(%x: tensor<2x5x3xf32>, %m: tensor<2x5xi1>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) reset(%m : tensor<2x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @unrolled_backwards
// CHECK: gru.backend = "cpu"
func.func @unrolled_backwards(%x: tensor<2x5x3xf32>, %m: tensor<2x5xi1>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) mask(%m : tensor<2x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, unroll, go_backwards, zero_output_for_mask}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @rowwise
// CHECK: gru.backend = "cpu"
func.func @rowwise(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// Devices get their weights before the first run.
// CHECK-LABEL: @computed_weight
// CHECK: gru.backend = "cpu"
func.func @computed_weight(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32> {gru.name = "W"}, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// CHECK-LABEL: @clipped_cell
// CHECK: gru.backend = "gpu"
func.func @clipped_cell(%x: tensor<2x3xf32>, %h0: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x4xf32> {
  %h = gru.cell %x, %h0 kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, clip = 3.0 : f64}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return %h : tensor<2x4xf32>
}
