// One case per numbered rule of GRUOps.td; the function's name is its tag.
// RUN: %gru-opt-no-roundtrip %s -split-input-file -verify-diagnostics -o %t

//===----------------------------------------------------------------------===//
// gru.gru
//===----------------------------------------------------------------------===//

func.func @gru_gru_c1(%x: tensor<2x5x5xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{kernel is 3x12, expected its rows to be the 5 features of the input}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x5xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c2(%x: tensor<2x5x3xf32>, %W: tensor<3x8xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{kernel is 3x8, expected 3x12 (features x 3*units)}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x8xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c3(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x8xf32>) {
  // expected-error @below {{recurrent_kernel is 4x8, expected 4x12 (units x 3*units)}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x8xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c3_dynamic(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<?x12xf32>) {
  // expected-error @below {{recurrent_kernel is ?x12, expected a static number of units}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<?x12xf32> -> tensor<2x5x?xf32>, tensor<2x?xf32>, tensor<2x?xf32>
  return
}

// -----

func.func @gru_gru_c4_reset_after(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<12xf32>) {
  // expected-error @below {{bias is 12, expected 2x12 (2 x 3*units with reset_after)}}
  %0:3 = gru.gru %x kernel(%W, %U) bias(%o0 : tensor<12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c4(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<2x12xf32>) {
  // expected-error @below {{bias is 2x12, expected 12 (3*units without reset_after)}}
  %0:3 = gru.gru %x kernel(%W, %U) bias(%o0 : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_initial_state(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<2x5xf32>) {
  // expected-error @below {{initial_state is 2x5, expected 2x4 (batch x units)}}
  %0:3 = gru.gru %x kernel(%W, %U) initial_state(%o0 : tensor<2x5xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_mask(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<5x2xi1>) {
  // expected-error @below {{mask is 5x2, expected 2x5 (batch x timesteps)}}
  %0:3 = gru.gru %x kernel(%W, %U) mask(%o0 : tensor<5x2xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_mask_time_major(%x: tensor<5x2x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<2x5xi1>) {
  // expected-error @below {{mask is 2x5, expected 5x2 (timesteps x batch)}}
  %0:3 = gru.gru %x kernel(%W, %U) mask(%o0 : tensor<2x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, time_major}
      : tensor<5x2x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<5x2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_lengths(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<5xi32>) {
  // expected-error @below {{lengths is 5, expected 2 (batch)}}
  %0:3 = gru.gru %x kernel(%W, %U) lengths(%o0 : tensor<5xi32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_reset(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<2x6xi1>) {
  // expected-error @below {{reset is 2x6, expected 2x5 (batch x timesteps)}}
  %0:3 = gru.gru %x kernel(%W, %U) reset(%o0 : tensor<2x6xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_dropout_mask(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<3x2x3xf32>) {
  // expected-error @below {{dropout_mask is 3x2x3, expected 1x2x3 (gates x batch x features; 3 gates for implementation 1, 1 for 2)}}
  %0:3 = gru.gru %x kernel(%W, %U) dropout_mask(%o0 : tensor<3x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c5_recurrent_dropout_mask(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<1x2x4xf32>) {
  // expected-error @below {{recurrent_dropout_mask is 1x2x4, expected 3x2x4 (3 x batch x units)}}
  %0:3 = gru.gru %x kernel(%W, %U) recurrent_dropout_mask(%o0 : tensor<1x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c6(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %o0: tensor<2x5xi1>, %o1: tensor<2xi32>) {
  // expected-error @below {{has both mask and lengths, expected one of them}}
  %0:3 = gru.gru %x kernel(%W, %U) mask(%o0 : tensor<2x5xi1>) lengths(%o1 : tensor<2xi32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c7(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{implementation is 3, expected 1 or 2}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, implementation = 3 : i64}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c8(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{dropout is 1.500000e+00, expected a rate from 0 to 1}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, dropout = 1.5 : f64}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c8_recurrent(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{recurrent_dropout is -1.000000e+00, expected a rate from 0 to 1}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, recurrent_dropout = -1.0 : f64}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_c9(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{clip is 0.000000e+00, expected a positive number}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, clip = 0.0 : f64}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_element_type(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf64>, %U: tensor<4x12xf32>) {
  // expected-error @below {{kernel has element type 'f64', expected 'f32' like the input}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf64>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @gru_gru_result_type(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{inferred type(s) 'tensor<2x5x4xf32>', 'tensor<2x4xf32>', 'tensor<2x4xf32>' are incompatible with return type(s)}}
  // expected-error @below {{failed to infer returned types}}
  %0:3 = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x5xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.cell
//===----------------------------------------------------------------------===//

func.func @gru_cell_c1(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<2x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{kernel is 2x12, expected its rows to be the 3 features of the input}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<2x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c2(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x9xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{kernel is 3x9, expected 3x12 (features x 3*units)}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x9xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c3(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x9xf32>) {
  // expected-error @below {{recurrent_kernel is 4x9, expected 4x12 (units x 3*units)}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x9xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c4(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %b: tensor<12xf32>) {
  // expected-error @below {{bias is 12, expected 2x12 (2 x 3*units with reset_after)}}
  %0 = gru.cell %x, %h kernel(%W, %U) bias(%b : tensor<12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c5(%x: tensor<2x3xf32>, %h: tensor<3x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{state is 3x4, expected 2x4 (batch x units)}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<3x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<3x4xf32>
  return
}

// -----

func.func @gru_cell_c5_dropout_mask(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %d: tensor<3x2x3xf32>) {
  // expected-error @below {{dropout_mask is 3x2x3, expected 1x2x3 (gates x batch x features; 3 gates for implementation 1, 1 for 2)}}
  %0 = gru.cell %x, %h kernel(%W, %U) dropout_mask(%d : tensor<3x2x3xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c5_recurrent_dropout_mask(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %d: tensor<1x2x4xf32>) {
  // expected-error @below {{recurrent_dropout_mask is 1x2x4, expected 3x2x4 (3 x batch x units)}}
  %0 = gru.cell %x, %h kernel(%W, %U) recurrent_dropout_mask(%d : tensor<1x2x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c7(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{implementation is 3, expected 1 or 2}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after, implementation = 3 : i64}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @gru_cell_c9(%x: tensor<2x3xf32>, %h: tensor<2x4xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) {
  // expected-error @below {{clip is -1.000000e+00, expected a positive number}}
  %0 = gru.cell %x, %h kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, clip = -1.0 : f64}
      : tensor<2x3xf32>, tensor<2x4xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x4xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.dense
//===----------------------------------------------------------------------===//

func.func @gru_dense_c1(%x: tensor<2x3xf32>, %W: tensor<4x8xf32>) {
  // expected-error @below {{kernel is 4x8, expected its rows to be the last dimension of the input, which is 2x3}}
  %0 = gru.dense %x, %W {activation = #gru.act<linear>} : tensor<2x3xf32>, tensor<4x8xf32> -> tensor<2x8xf32>
  return
}

// -----

func.func @gru_dense_c2(%x: tensor<2x3xf32>, %W: tensor<3x8xf32>, %b: tensor<3xf32>) {
  // expected-error @below {{bias is 3, expected 8 (columns of the kernel)}}
  %0 = gru.dense %x, %W bias(%b : tensor<3xf32>) {activation = #gru.act<linear>} : tensor<2x3xf32>, tensor<3x8xf32> -> tensor<2x8xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.activation, gru.reverse and #gru.act
//===----------------------------------------------------------------------===//

func.func @gru_activation_c1(%x: vector<8xf32>) {
  // expected-error @below {{'softmax' acts on rows: expected a tensor of rank 1 or more, found 'vector<8xf32>'}}
  %0 = gru.activation %x {kind = #gru.act<softmax>} : vector<8xf32>
  return
}

// -----

func.func @gru_activation_c1_rank(%x: tensor<f32>) {
  // expected-error @below {{'sparsemax' acts on rows: expected a tensor of rank 1 or more, found 'tensor<f32>'}}
  %0 = gru.activation %x {kind = #gru.act<sparsemax>} : tensor<f32>
  return
}

// -----

func.func @gru_reverse_c1(%x: tensor<2x3xf32>) {
  // expected-error @below {{dim is 2, expected 0 to 1}}
  %0 = gru.reverse %x {dim = 2} : tensor<2x3xf32>
  return
}

// -----

func.func @gru_reverse_c1_negative(%x: tensor<2x3xf32>) {
  // expected-error @below {{dim is -1, expected 0 to 1}}
  %0 = gru.reverse %x {dim = -1} : tensor<2x3xf32>
  return
}

// -----

// expected-error @below {{unknown activation 'swishy'}}
func.func private @act_unknown() attributes {a = #gru.act<swishy>}

// -----

// expected-error @below {{activation 'elu' takes no parameter 'beta'}}
func.func private @act_parameter() attributes {a = #gru.act<elu, alpha = 1.0, beta = 1.0>}

// -----

//===----------------------------------------------------------------------===//
// gru.pack
//===----------------------------------------------------------------------===//

func.func @gru_pack_c1(%x: tensor<4x10xf32>) {
  // expected-error @below {{source is 4x10, expected columns that are a multiple of gates = 3}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x10xf32> -> tensor<1x4x3x16xf32>
  return
}

// -----

func.func @gru_pack_c1_gates(%x: tensor<4x10xf32>) {
  // expected-error @below {{expected columns that are a multiple of gates = 0}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 0, width = 16} : tensor<4x10xf32> -> tensor<1x4x3x16xf32>
  return
}

// -----

func.func @gru_pack_c2(%x: tensor<12xf32>) {
  // expected-error @below {{source is 12 of 3 gates, not what part 'gates' takes}}
  %0 = gru.pack %x {part = #gru.part<gates>, gates = 3, width = 16} : tensor<12xf32> -> tensor<1x2x16xf32>
  return
}

// -----

func.func @gru_pack_c2_gates(%x: tensor<4x12xf32>) {
  // expected-error @below {{source is 4x12 of 1 gates, not what part 'candidate' takes}}
  %0 = gru.pack %x {part = #gru.part<candidate>, gates = 1, width = 16} : tensor<4x12xf32> -> tensor<1x4x1x16xf32>
  return
}

// -----

func.func @gru_pack_c2_bias(%x: tensor<12xf32>) {
  // expected-error @below {{source is 12 of 3 gates, not what part 'input_bias' takes}}
  %0 = gru.pack %x {part = #gru.part<input_bias>, gates = 3, width = 16} : tensor<12xf32> -> tensor<1x3x16xf32>
  return
}

// -----

func.func @gru_pack_c3(%x: tensor<4x12xf32>) {
  // expected-error @below {{width is 0, expected 1 or more}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 0} : tensor<4x12xf32> -> tensor<1x4x3x16xf32>
  return
}

// -----

func.func @gru_pack_result(%x: tensor<4x12xf32>) {
  // expected-error @below {{result is 2x4x3x16, expected 1x4x3x16 (blocks of width units)}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<2x4x3x16xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.packed_dense
//===----------------------------------------------------------------------===//

func.func @gru_packed_dense_c1(%x: memref<2x7xf32>, %W: memref<1x8x1x16xf32>, %y: memref<2x10xf32>) {
  // expected-error @below {{kernel is 1x8x1x16, expected the last dimension of the input, which is 2x7, as its second}}
  gru.packed_dense ins(%x, %W : memref<2x7xf32>, memref<1x8x1x16xf32>) outs(%y : memref<2x10xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c2(%x: memref<2x8xf32>, %W: memref<1x8x1x16xf32>, %b: memref<1x3x16xf32>, %y: memref<2x10xf32>) {
  // expected-error @below {{bias is 1x3x16, expected 1x1x16 (blocks x gates x width of the kernel)}}
  gru.packed_dense ins(%x, %W : memref<2x8xf32>, memref<1x8x1x16xf32>) bias(%b : memref<1x3x16xf32>) outs(%y : memref<2x10xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c3(%x: memref<2x8xf32>, %W: memref<1x8x1x16xf32>, %y: memref<3x10xf32>) {
  // expected-error @below {{destination is 3x10, expected 2x10 (leading dimensions of the input x columns)}}
  gru.packed_dense ins(%x, %W : memref<2x8xf32>, memref<1x8x1x16xf32>) outs(%y : memref<3x10xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c3_columns(%x: memref<2x8xf32>, %W: memref<1x8x1x16xf32>, %y: memref<2x17xf32>) {
  // expected-error @below {{kernel is 1x8x1x16, expected blocks of one gate that cover the 17 columns of the destination}}
  gru.packed_dense ins(%x, %W : memref<2x8xf32>, memref<1x8x1x16xf32>) outs(%y : memref<2x17xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c3_gates(%x: memref<2x8xf32>, %W: memref<1x8x3x16xf32>, %y: memref<2x10xf32>) {
  // expected-error @below {{kernel is 1x8x3x16, expected blocks of one gate that cover the 10 columns of the destination}}
  gru.packed_dense ins(%x, %W : memref<2x8xf32>, memref<1x8x3x16xf32>) outs(%y : memref<2x10xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c3_projection(%x: memref<2x5x8xf32>, %W: memref<1x8x3x16xf32>, %y: memref<2x5x1x3x16xf32>) {
  // expected-error @below {{destination is 2x5x1x3x16, expected 5x2x1x3x16 (timesteps x batch x blocks x gates x width)}}
  gru.packed_dense ins(%x, %W : memref<2x5x8xf32>, memref<1x8x3x16xf32>) outs(%y : memref<2x5x1x3x16xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_c3_projection_rank(%x: memref<2x8xf32>, %W: memref<1x8x3x16xf32>, %y: memref<2x5x1x3x16xf32>) {
  // expected-error @below {{input is 2x8, expected rank 3 for a projection}}
  gru.packed_dense ins(%x, %W : memref<2x8xf32>, memref<1x8x3x16xf32>) outs(%y : memref<2x5x1x3x16xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

func.func @gru_packed_dense_results(%x: tensor<2x8xf32>, %W: tensor<1x8x1x16xf32>, %y: tensor<2x10xf32>) {
  // expected-error @below {{has 0 results, expected one of the same type per tensor destination}}
  gru.packed_dense ins(%x, %W : tensor<2x8xf32>, tensor<1x8x1x16xf32>) outs(%y : tensor<2x10xf32>)
      {activation = #gru.act<linear>}
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.recur
//===----------------------------------------------------------------------===//

func.func @gru_recur_c1_blocks(%p: memref<5x2x2x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{projection is 5x2x2x3x16, expected timesteps x batch x blocks x 3 x width with blocks that cover the 7 units of the state}}
  gru.recur ins(%p : memref<5x2x2x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_gates(%p: memref<5x2x1x2x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{projection is 5x2x1x2x16, expected timesteps x batch x blocks x 3 x width}}
  gru.recur ins(%p : memref<5x2x1x2x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_kernel(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x8x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{kernel is 1x8x3x16, expected 1x7x3x16 (blocks x units x gates x width)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x8x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_kernel_gates(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x1x16xf32>, %k1: memref<1x7x2x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{kernel is 1x7x1x16, expected 1x7x2x16 (blocks x units x gates x width)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0, %k1 : memref<1x7x1x16xf32>, memref<1x7x2x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// -----

func.func @gru_recur_c1_bias(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %o0: memref<1x3x16xf32>) {
  // expected-error @below {{recurrent_bias is 1x3x16, expected 1x1x16 (blocks x 1 x width)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) recurrent_bias(%o0 : memref<1x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_bias_without_reset_after(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x2x16xf32>, %k1: memref<1x7x1x16xf32>, %h: memref<2x7xf32>, %o0: memref<1x1x16xf32>) {
  // expected-error @below {{has a recurrent bias, expected none without reset_after}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0, %k1 : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>) recurrent_bias(%o0 : memref<1x1x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// -----

func.func @gru_recur_c1_mask(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %o0: memref<5x2xi1>) {
  // expected-error @below {{mask is 5x2, expected 2x5 (batch, timesteps)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) mask(%o0 : memref<5x2xi1>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_reset(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %o0: memref<2x5xi1>) {
  // expected-error @below {{reset is 2x5, expected 5x2 (batch, timesteps)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) reset(%o0 : memref<2x5xi1>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, time_major}
  return
}

// -----

func.func @gru_recur_c1_state(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<3x7xf32>) {
  // expected-error @below {{state is 3x7, expected 2x7 (batch x units)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<3x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_sequence(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %d: memref<5x2x7xf32>) {
  // expected-error @below {{sequence is 5x2x7, expected 2x5x7 (batch, timesteps, units)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>) sequence(%d : memref<5x2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c1_last(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %d: memref<7x2xf32>) {
  // expected-error @below {{last is 7x2, expected 2x7 (batch x units)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>) last(%d : memref<7x2xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c2(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x2x16xf32>, %k1: memref<1x7x1x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{has 2 kernels, expected 1 with reset_after}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0, %k1 : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c2_without_reset_after(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{has 1 kernels, expected 2 without reset_after}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// -----

func.func @gru_recur_c3(%k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{expected either a projection or an input with its kernel}}
  gru.recur kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c4(%p: memref<5x2x1x3x16xf32>, %k: memref<1x3x3x64xi8>, %s: memref<1x3x16xf32>, %m: memref<3x2x7xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{expected kernels of i8 without recurrent dropout and with a state of f32}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k : memref<1x3x3x64xi8>) kernel_scales(%s : memref<1x3x16xf32>)
      recurrent_dropout_mask(%m : memref<3x2x7xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_recur_c5(%p: memref<5x2x1x3x16xf32>, %k0: memref<1x7x2x16xf32>, %k1: memref<1x7x1x16xf32>, %r: memref<1x2x8xi32>, %h: memref<2x7xf32>) {
  // expected-error @below {{has 1 kernel_rows, expected one for each kernel, or none, as of kernels of i8}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k0, %k1 : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>) kernel_rows(%r : memref<1x2x8xi32>)
      state(%h : memref<2x7xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// -----

func.func @gru_recur_c1_kernel_rows(%p: memref<5x2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %r: memref<1x3x7xi32>, %h: memref<2x7xf32>) {
  // expected-error @below {{kernel_rows is 1x3x7, expected 1x3x8 (blocks x gates x one and the units)}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%k : memref<1x7x3x16xf32>) kernel_rows(%r : memref<1x3x7xi32>)
      state(%h : memref<2x7xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

func.func @gru_nonzero_rows(%k: tensor<2x7x3x16xf32>) {
  // expected-error @below {{failed to infer returned types}}
  // expected-error @below {{'gru.nonzero_rows' op inferred type(s) 'tensor<2x3x8xi32>' are incompatible with return type(s) of operation 'tensor<2x3x7xi32>'}}
  %0 = gru.nonzero_rows %k : tensor<2x7x3x16xf32> -> tensor<2x3x7xi32>
  return
}

// -----

func.func @gru_recur_c3_both(%p: memref<5x2x1x3x16xf32>, %x: memref<2x5x3xf32>, %W: memref<1x3x3x16xf32>, %k0: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // expected-error @below {{expected either a projection or an input with its kernel}}
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) input(%x : memref<2x5x3xf32>) input_kernel(%W : memref<1x3x3x16xf32>)
      kernels(%k0 : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.device_rnn
//===----------------------------------------------------------------------===//

func.func @gru_device_rnn_c1(%x: memref<2x5x3xf32>, %W: memref<3x12xf32>, %U: memref<4x12xf32>, %s: memref<2x5x4xf32>) {
  // expected-error @below {{has 3 weights for 2 layers of 1 directions, expected two or three per cell}}
  gru.device_rnn "cudnn" ins(%x : memref<2x5x3xf32>) weights(%W, %U, %U : memref<3x12xf32>, memref<4x12xf32>, memref<4x12xf32>)
      sequences(%s : memref<2x5x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, layers = 2 : i64, reset_after}
  return
}

// -----

func.func @gru_device_rnn_c2(%x: memref<2x5x3xf32>, %W: memref<3x12xf32>, %U: memref<4x12xf32>, %s: memref<2x5x4xf32>) {
  // expected-error @below {{has 2 sequences, expected none or 1}}
  gru.device_rnn "gpu" ins(%x : memref<2x5x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>)
      sequences(%s, %s : memref<2x5x4xf32>, memref<2x5x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, layers = 1 : i64, reset_after}
  return
}

// -----

func.func @gru_device_rnn_c3(%x: memref<2x5x3xf32>, %W: memref<3x12xf32>, %U: memref<5x12xf32>, %s: memref<2x5x4xf32>) {
  // expected-error @below {{kernel is 3x12, expected 3x15 (features x 3*units)}}
  gru.device_rnn "cudnn" ins(%x : memref<2x5x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<5x12xf32>)
      sequences(%s : memref<2x5x4xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, layers = 1 : i64, reset_after}
  return
}

// -----

func.func @gru_device_rnn_c3_state(%x: memref<2x5x3xf32>, %W: memref<3x12xf32>, %U: memref<4x12xf32>, %l: memref<4x2xf32>) {
  // expected-error @below {{state is 4x2, expected 2x4 (batch x units)}}
  gru.device_rnn "cudnn" ins(%x : memref<2x5x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>)
      lasts(%l : memref<4x2xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, layers = 1 : i64, reset_after}
  return
}

// -----

//===----------------------------------------------------------------------===//
// gru.step
//===----------------------------------------------------------------------===//

func.func @gru_step_projection(%p: memref<2x1x2x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>) {
  // expected-error @below {{projection is 2x1x2x16, expected 2x1x3x16 (batch x blocks x 3 x width)}}
  gru.step <all> projection(%p : memref<2x1x2x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_kernel(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>) {
  // expected-error @below {{kernel is 1x7x3x16, expected 1x7x2x16 (blocks x units x gates x width)}}
  gru.step <gates> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) update(%o0 : memref<2x16xf32>) reset_state(%o1 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_recurrent_bias(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<1x3x16xf32>, %o1: memref<2x16xf32>) {
  // expected-error @below {{recurrent_bias is 1x3x16, expected 1x1x16 (blocks x 1 x width)}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) recurrent_bias(%o0 : memref<1x3x16xf32>) new_state(%o1 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_state(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %o0: memref<2x16xf32>) {
  // expected-error @below {{state is 2x7, expected 2x16 (batch x padded units)}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>)
      state(%h : memref<2x7xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_output(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>) {
  // expected-error @below {{output is 2x16, expected 2x7 (batch x units)}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>) output(%o1 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_mask(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<3xi1>) {
  // expected-error @below {{mask is 3, expected 2 (batch)}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>) mask(%o1 : memref<3xi1>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_emit(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<3xi1>) {
  // expected-error @below {{emit is 3, expected 2 (batch)}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>) emit(%o1 : memref<3xi1>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_no_new_state(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>) {
  // expected-error @below {{phase all needs new_state}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_new_state(%p: memref<2x1x3x16xf32>, %k: memref<1x7x2x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>, %o2: memref<2x16xf32>) {
  // expected-error @below {{phase gates takes no new_state}}
  gru.step <gates> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x2x16xf32>) update(%o0 : memref<2x16xf32>) reset_state(%o1 : memref<2x16xf32>) new_state(%o2 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_update(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>) {
  // expected-error @below {{phase all takes no update and reset_state}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) update(%o0 : memref<2x16xf32>) new_state(%o1 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_no_reset_state(%p: memref<2x1x3x16xf32>, %k: memref<1x7x1x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>) {
  // expected-error @below {{phase candidate needs update and reset_state}}
  gru.step <candidate> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x1x16xf32>) update(%o0 : memref<2x16xf32>) new_state(%o1 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_preactivations(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>) {
  // expected-error @below {{has a row-wise activation and needs preactivations}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) new_state(%o0 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_dropped_state(%p: memref<2x1x3x16xf32>, %k: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %d: memref<3x2x16xf32>) {
  // expected-error @below {{has a recurrent_dropout_mask and needs dropped_state}}
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x3x16xf32>) recurrent_dropout_mask(%d : memref<3x2x16xf32>) new_state(%o0 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_step_candidate_dropout(%p: memref<2x1x3x16xf32>, %k: memref<1x7x1x16xf32>, %h: memref<2x16xf32>, %o0: memref<2x16xf32>, %o1: memref<2x16xf32>, %o2: memref<2x16xf32>, %d: memref<3x2x16xf32>, %s: memref<1x2x16xf32>) {
  // expected-error @below {{phase candidate takes no recurrent_dropout_mask}}
  gru.step <candidate> projection(%p : memref<2x1x3x16xf32>) kernel(%k : memref<1x7x1x16xf32>) recurrent_dropout_mask(%d : memref<3x2x16xf32>) dropped_state(%s : memref<1x2x16xf32>)
      update(%o0 : memref<2x16xf32>) reset_state(%o1 : memref<2x16xf32>) new_state(%o2 : memref<2x16xf32>)
      state(%h : memref<2x16xf32>) {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// -----

func.func @gru_dropout_mask_c1(%key: tensor<2xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{key has 2 entries, expected 3 (seed, draws, recurrent draws)}}
  %m = gru.dropout_mask %key like %x {dims = array<i64: -1, -2>, rate = 0.5, scale = 2.0, stream = 0} : tensor<2xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_dropout_mask_c2(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{dims has 0, expected a positive size, or -1 to -2 for a dimension of like}}
  %m = gru.dropout_mask %key like %x {dims = array<i64: -1, 0>, rate = 0.5, scale = 2.0, stream = 0} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x0xf32>
  return
}

// -----

func.func @gru_dropout_mask_c3(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{rate is 1.000000e+00, expected at least 0 and below 1}}
  %m = gru.dropout_mask %key like %x {dims = array<i64: -1, -2>, rate = 1.0, scale = 2.0, stream = 0} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_dropout_mask_c4(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{stream is -1, expected a number of 32 bits}}
  %m = gru.dropout_mask %key like %x {dims = array<i64: -1, -2>, rate = 0.5, scale = 2.0, stream = -1} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_random_normal_c1(%key: tensor<2xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{key has 2 entries, expected 3 (seed, draws, recurrent draws)}}
  %n = gru.random_normal %key like %x {dims = array<i64: -1, -2>, mean = 0.0, stddev = 1.0, stream = 0} : tensor<2xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_random_normal_c2(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{dims has 0, expected a positive size, or -1 to -2 for a dimension of like}}
  %n = gru.random_normal %key like %x {dims = array<i64: -1, 0>, mean = 0.0, stddev = 1.0, stream = 0} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x0xf32>
  return
}

// -----

func.func @gru_random_normal_c3(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{stddev is -1.000000e+00, expected a number that is not negative}}
  %n = gru.random_normal %key like %x {dims = array<i64: -1, -2>, mean = 0.0, stddev = -1.0, stream = 0} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_random_normal_c4(%key: tensor<3xi64>, %x: tensor<2x3xf32>) {
  // expected-error @below {{stream is -1, expected a number of 32 bits}}
  %n = gru.random_normal %key like %x {dims = array<i64: -1, -2>, mean = 0.0, stddev = 1.0, stream = -1} : tensor<3xi64>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

func.func @gru_quantized_pack_part(%x: tensor<2x12xf32>) {
  // expected-error @+1 {{part is 'input_bias', expected all, gates or candidate}}
  %0, %1 = gru.quantized_pack %x {part = #gru.part<input_bias>, gates = 3, width = 16} : tensor<2x12xf32> -> tensor<1x2x3x64xi8>, tensor<1x3x16xf32>
  return
}

// -----

func.func @gru_quantized_pack_scale(%x: tensor<4x12xf32>) {
  // expected-error @+1 {{scale}}
  %0, %1 = gru.quantized_pack %x {part = #gru.part<gates>, gates = 3, width = 16} : tensor<4x12xf32> -> tensor<1x2x2x64xi8>, tensor<1x3x16xf32>
  return
}

// -----

func.func @gru_quantized_pack_shape(%x: tensor<5x12xf32>) {
  // expected-error @+1 {{result is 1x2x3x64, expected 1x3x3x64 (blocks of width units, four rows in one)}}
  %0, %1 = gru.quantized_pack %x {part = #gru.part<all>, gates = 3, width = 16} : tensor<5x12xf32> -> tensor<1x2x3x64xi8>, tensor<1x3x16xf32>
  return
}

// -----

func.func @gru_quantized_pack_c1(%x: tensor<65537x12xf32>) {
  // expected-error @+1 {{source has 65537 rows, expected at most 65536, whose sums fit an i32}}
  %0, %1 = gru.quantized_pack %x {part = #gru.part<all>, gates = 3, width = 16} : tensor<65537x12xf32> -> tensor<1x16386x3x64xi8>, tensor<1x3x16xf32>
  return
}

// -----

func.func @gru_quantize_rows_c1(%x: tensor<2x5xf32>, %q: tensor<2x5xi8>, %s: tensor<2xf32>) {
  // expected-error @+1 {{bytes is 2x5, expected 2x16 (the input's, its columns to a multiple of 16)}}
  %0:2 = gru.quantize_rows ins(%x : tensor<2x5xf32>) outs(%q, %s : tensor<2x5xi8>, tensor<2xf32>) -> tensor<2x5xi8>, tensor<2xf32>
  return
}

// -----

func.func @gru_packed_dense_c4(%x: tensor<2x5x16xi8>, %w: tensor<1x3x3x64xi8>, %e: tensor<5x2x1x3x16xf32>) {
  // expected-error @+1 {{expected scales with operands of i8}}
  %0 = gru.packed_dense ins(%x, %w : tensor<2x5x16xi8>, tensor<1x3x3x64xi8>) outs(%e : tensor<5x2x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<5x2x1x3x16xf32>
  return
}

// -----

func.func @gru_packed_dense_c4_columns(%x: tensor<2x5x32xi8>, %w: tensor<1x3x3x64xi8>, %r: tensor<2x5xf32>, %s: tensor<1x3x16xf32>, %e: tensor<5x2x1x3x16xf32>) {
  // expected-error @+1 {{kernel is 1x3x3x64, expected a quarter of the columns of the input, which is 2x5x32, and one as its second}}
  %0 = gru.packed_dense ins(%x, %w : tensor<2x5x32xi8>, tensor<1x3x3x64xi8>) scales(%r, %s : tensor<2x5xf32>, tensor<1x3x16xf32>)
      outs(%e : tensor<5x2x1x3x16xf32>) {activation = #gru.act<linear>} -> tensor<5x2x1x3x16xf32>
  return
}

// -----

func.func @gru_dot_bytes(%x: vector<16xi8>, %s: vector<8xi32>) {
  // expected-error @+1 {{has 16 bytes for 8 lanes, expected four to a lane}}
  %0 = gru.dot_bytes %x, %x, %s : vector<16xi8>, vector<8xi32>
  return
}

// -----

// Only f32 may become narrower, and only bf16.
func.func @gru_pack_narrow(%x: tensor<4x12xf64>) {
  // expected-error @+2 {{failed to infer returned types}}
  // expected-error @+1 {{are incompatible with return type(s)}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 16} : tensor<4x12xf64> -> tensor<1x4x3x16xbf16>
  return
}
