// RUN: %gru-opt %s --gru-specialize="batch=2" | FileCheck %s --check-prefixes=CHECK,BATCH
// RUN: %gru-opt %s --gru-specialize="batch=2 timesteps=5" | FileCheck %s --check-prefixes=CHECK,BOTH

// Types behind the inputs are inferred anew; weights keep theirs.
// CHECK-LABEL: func.func @layers
// BATCH-SAME: %{{.*}}: tensor<2x?x3xf32> {gru.name = "x"}, %{{.*}}: tensor<2x4xf32> {gru.name = "gru", gru.state = 0 : i64}, %{{.*}}: tensor<3x12xf32>
// BATCH-SAME: -> (tensor<2x?x8xf32>, tensor<2x4xf32>)
// BOTH-SAME: tensor<2x5x3xf32> {gru.name = "x"}, %{{.*}}: tensor<2x4xf32>
// BOTH-SAME: -> (tensor<2x5x8xf32>, tensor<2x4xf32>)
func.func @layers(%x: tensor<?x?x3xf32> {gru.name = "x"}, %h: tensor<?x4xf32> {gru.name = "gru", gru.state = 0 : i64},
                  %W: tensor<3x12xf32> {gru.weight = "W"}, %U: tensor<4x12xf32> {gru.weight = "U"},
                  %V: tensor<7x8xf32> {gru.weight = "V"}) -> (tensor<?x?x8xf32>, tensor<?x4xf32>) {
  // BATCH: gru.gru {{.*}} -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  // BOTH: gru.gru {{.*}} -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  %seq, %last, %state = gru.gru %x kernel(%W, %U) initial_state(%h : tensor<?x4xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<?x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<?x?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>
  // BATCH: tensor.concat {{.*}} -> tensor<2x?x7xf32>
  // BOTH: tensor.concat {{.*}} -> tensor<2x5x7xf32>
  %c = tensor.concat dim(2) %seq, %x : (tensor<?x?x4xf32>, tensor<?x?x3xf32>) -> tensor<?x?x7xf32>
  // BATCH: gru.activation {{.*}} : tensor<2x?x7xf32>
  // BOTH: gru.activation {{.*}} : tensor<2x5x7xf32>
  %a = gru.activation %c {kind = #gru.act<relu>} : tensor<?x?x7xf32>
  // BATCH: gru.dense {{.*}} -> tensor<2x?x8xf32>
  // BOTH: gru.dense {{.*}} -> tensor<2x5x8xf32>
  %y = gru.dense %a, %V {activation = #gru.act<linear>} : tensor<?x?x7xf32>, tensor<7x8xf32> -> tensor<?x?x8xf32>
  return %y, %state : tensor<?x?x8xf32>, tensor<?x4xf32>
}

// What cannot be inferred keeps its type behind a cast.
// CHECK-LABEL: func.func @other_operations
// CHECK-SAME: %[[X:.+]]: tensor<2x{{.+}}x3xf32>
func.func @other_operations(%x: tensor<?x?x3xf32> {gru.name = "x"}) -> tensor<?x3xf32> {
  // CHECK: %[[C:.+]] = tensor.cast %[[X]] : tensor<2x{{.*}}x3xf32> to tensor<?x?x3xf32>
  // CHECK: tensor.collapse_shape %[[C]]
  %y = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x3xf32> into tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// Only inputs and states have a batch.
// CHECK-LABEL: func.func @other_arguments
// CHECK-SAME: tensor<?x3xf32>
func.func @other_arguments(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  return %x : tensor<?x3xf32>
}
