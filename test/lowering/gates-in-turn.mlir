// Sums of all gates of so many rows have no room in the registers: the gates follow
// each other.
// RUN: %gru-opt %s --convert-gru-step-to-vector="vector-bytes=32 registers=16" --convert-gru-packed-dense-to-vector="vector-bytes=32 registers=16" --canonicalize | FileCheck %s --check-prefix=TURN
// RUN: %gru-opt %s --convert-gru-step-to-vector="vector-bytes=64 registers=32" --convert-gru-packed-dense-to-vector="vector-bytes=64 registers=32" --canonicalize | FileCheck %s --check-prefix=ALL

// With the candidate's input product waiting in the buffer, behind the sums.
// TURN-LABEL: func.func @step
// TURN-SAME: %[[X:[a-z0-9]+]]: memref<4x7xf32>, %[[W:[a-z0-9]+]]: memref<1x7x3x16xf32>, %{{.+}}: memref<1x3x16xf32>, %[[U:[a-z0-9]+]]: memref<1x16x3x16xf32>
// TURN: %[[SUMS:.+]] = memref.alloc() : memref<4x64xf32>
// TURN: scf.for %{{.+}} = %c0 to %c7 step %c1 iter_args({{.*}}) -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>) {
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c0, %c0]
// TURN: scf.for %{{.+}} = %c0 to %c16
// TURN: vector.load %[[U]][%c0, %{{.+}}, %c0, %c0]
// TURN: vector.store %{{.+}}, %[[SUMS]][%c0, %c0]
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c1, %c0]
// TURN: vector.load %[[U]][%c0, %{{.+}}, %c1, %c0]
// TURN: vector.store %{{.+}}, %[[SUMS]][%c1, %c0]
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c2, %c0]
// TURN: vector.store %{{.+}}, %[[SUMS]][%c3, %c0]
// TURN: vector.load %[[U]][%c0, %{{.+}}, %c2, %c0]
// TURN: vector.store %{{.+}}, %[[SUMS]][%c2, %c0]
// TURN: gru.activation
// ALL-LABEL: func.func @step
// ALL: scf.for %{{.+}} = %c0 to %c16 step %c1 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>) {
func.func @step(%x: memref<4x7xf32>, %W: memref<1x7x3x16xf32>, %b: memref<1x3x16xf32>, %U: memref<1x16x3x16xf32>,
                %c: memref<1x1x16xf32>, %h: memref<4x16xf32>, %n: memref<4x16xf32>) {
  gru.step <all> input(%x : memref<4x7xf32>) input_kernel(%W : memref<1x7x3x16xf32>) input_bias(%b : memref<1x3x16xf32>)
      kernel(%U : memref<1x16x3x16xf32>) recurrent_bias(%c : memref<1x1x16xf32>) new_state(%n : memref<4x16xf32>)
      state(%h : memref<4x16xf32>) {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, rows = 4, units = 16}
  return
}

// TURN-LABEL: func.func @projection
// TURN-SAME: %{{.+}}: memref<4x5x7xf32>, %[[W:[a-z0-9]+]]: memref<1x7x3x16xf32>
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c0, %c0]
// TURN: vector.store %{{.+}}, %{{.+}}[%{{.+}}, %{{.+}}, %c0, %c0, %c0]
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c1, %c0]
// TURN: vector.store %{{.+}}, %{{.+}}[%{{.+}}, %{{.+}}, %c0, %c1, %c0]
// TURN: vector.load %[[W]][%c0, %{{.+}}, %c2, %c0]
// TURN: vector.store %{{.+}}, %{{.+}}[%{{.+}}, %{{.+}}, %c0, %c2, %c0]
// ALL-LABEL: func.func @projection
// ALL: scf.for %{{.+}} = %c0 to %c7 step %c1 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>) {
func.func @projection(%x: memref<4x5x7xf32>, %W: memref<1x7x3x16xf32>, %y: memref<5x4x1x3x16xf32>) {
  gru.packed_dense ins(%x, %W : memref<4x5x7xf32>, memref<1x7x3x16xf32>) outs(%y : memref<5x4x1x3x16xf32>)
      {activation = #gru.act<linear>, rows = 4}
  return
}
