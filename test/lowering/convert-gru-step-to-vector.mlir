// RUN: %gru-opt %s --convert-gru-step-to-vector --canonicalize | FileCheck %s
// RUN: %gru-opt %s --convert-gru-step-to-vector="vector-bytes=32" --canonicalize | FileCheck %s --check-prefix=YMM

// One block, one row, few units: no loops. Each sum is made of four chains, which
// do not wait for each other. The candidate's sum starts from its recurrent bias,
// because r multiplies only the recurrent part.
// CHECK-LABEL: func.func @one_block
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<1x1x3x16xf32>, %[[U:[a-z0-9]+]]: memref<1x7x3x16xf32>, %[[C:[a-z0-9]+]]: memref<1x1x16xf32>, %[[H:[a-z0-9]+]]: memref<1x16xf32>, %[[N:[a-z0-9]+]]: memref<1x16xf32>, %[[O:[a-z0-9]+]]: memref<1x7xf32>
// YMM-LABEL: func.func @one_block
func.func @one_block(%p: memref<1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %c: memref<1x1x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>, %o: memref<1x7xf32>) {
  // CHECK: %[[Z0:.+]] = vector.load %[[P]][%c0, %c0, %c0, %c0]
  // CHECK: %[[R0:.+]] = vector.load %[[P]][%c0, %c0, %c1, %c0]
  // CHECK: %[[H0:.+]] = vector.load %[[C]][%c0, %c0, %c0]
  // CHECK: memref.load %[[H]][%c0, %c0]
  // CHECK: %[[Z1:.+]] = vector.fma %{{.*}}, %[[Z0]]
  // CHECK: vector.fma %{{.*}}, %[[R0]]
  // CHECK: vector.fma %{{.*}}, %[[H0]]
  // CHECK: memref.load %[[H]][%c0, %c1]
  // CHECK-COUNT-3: arith.mulf
  // CHECK: memref.load %[[H]][%c0, %c4]
  // CHECK: vector.fma %{{.*}}, %[[Z1]]
  // CHECK: memref.load %[[H]][%c0, %c6]
  // CHECK-COUNT-6: arith.addf
  // CHECK: %[[SZ:.+]] = arith.addf
  // CHECK: %[[SR:.+]] = arith.addf
  // CHECK: %[[SH:.+]] = arith.addf
  // CHECK: %[[XH:.+]] = vector.load %[[P]][%c0, %c0, %c2, %c0]
  // CHECK: %[[Z:.+]] = gru.activation %[[SZ]] {kind = #gru.act<sigmoid>} : vector<16xf32>
  // CHECK: %[[R:.+]] = gru.activation %[[SR]] {kind = #gru.act<sigmoid>}
  // CHECK: %[[A:.+]] = vector.fma %[[R]], %[[SH]], %[[XH]]
  // CHECK: %[[HH:.+]] = gru.activation %[[A]] {kind = #gru.act<tanh>}
  // h' = (1 - z) hh + z h
  // CHECK: %[[OLD:.+]] = vector.load %[[H]][%c0, %c0]
  // CHECK: %[[KEPT:.+]] = arith.mulf %[[Z]], %[[OLD]]
  // CHECK: %[[TAKEN:.+]] = arith.subf %{{.*}}, %[[Z]]
  // CHECK: %[[NEW:.+]] = vector.fma %[[TAKEN]], %[[HH]], %[[KEPT]]
  // The state is padded, the output is not.
  // CHECK: vector.store %[[NEW]], %[[N]][%c0, %c0]
  // CHECK: vector.maskedstore %[[O]][%c0, %c0], %{{.*}}, %[[NEW]]
  // YMM: vector.fma {{.*}} : vector<8xf32>
  gru.step <all> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x7x3x16xf32>) recurrent_bias(%c : memref<1x1x16xf32>)
      new_state(%n : memref<1x16xf32>) output(%o : memref<1x7xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Longer sums are a loop over chains.
// CHECK-LABEL: func.func @chains
func.func @chains(%p: memref<1x2x3x16xf32>, %U: memref<2x30x3x16xf32>, %h: memref<1x32xf32>, %n: memref<1x32xf32>) {
  // CHECK: scf.for %{{.*}} = %c0 to %c28 step %c4 iter_args
  // CHECK-COUNT-12: vector.fma
  // CHECK: scf.yield
  // CHECK: memref.load %{{.*}}[%c0, %c28]
  // CHECK: memref.load %{{.*}}[%c0, %c29]
  // CHECK-COUNT-9: arith.addf
  gru.step <all> projection(%p : memref<1x2x3x16xf32>) kernel(%U : memref<2x30x3x16xf32>)
      new_state(%n : memref<1x32xf32>) state(%h : memref<1x32xf32>)
      {units = 30, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Where products take most of the time, the sums wait in memory for a loop that
// finishes two registers of each gate at a time: less to compile.
// CHECK-LABEL: func.func @tiles
func.func @tiles(%p: memref<1x2x3x64xf32>, %U: memref<2x128x3x64xf32>, %h: memref<1x128xf32>, %n: memref<1x128xf32>, %o: memref<1x128xf32>) {
  // CHECK: %[[SUMS:.+]] = memref.alloc() : memref<3x64xf32>
  // CHECK: scf.for %[[BLOCK:.+]] = %c0 to %c2
  // CHECK: scf.for
  // CHECK-COUNT-12: vector.fma
  // CHECK-COUNT-12: vector.store %{{.*}}, %[[SUMS]]
  // CHECK: scf.for %[[I:.+]] = %c0 to %c64 step %c32
  // CHECK: vector.load %[[SUMS]][%c0, %[[I]]] : memref<3x64xf32>, vector<32xf32>
  // CHECK: vector.load %{{.*}}[%c0, %[[BLOCK]], %c2, %[[I]]]
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<tanh>} : vector<32xf32>
  // CHECK: vector.store %{{.*}}[%c0, %{{.*}}] : memref<1x128xf32>, vector<32xf32>
  // CHECK-NOT: gru.activation
  gru.step <all> projection(%p : memref<1x2x3x64xf32>) kernel(%U : memref<2x128x3x64xf32>)
      new_state(%n : memref<1x128xf32>) output(%o : memref<1x128xf32>) state(%h : memref<1x128xf32>)
      {units = 128, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Rows of a few units share registers: four of four units each are one vector,
// whose parts are multiplied by the same weights. The fifth row is alone.
// CHECK-LABEL: func.func @groups
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<5x6xf32>, %[[W:[a-z0-9]+]]: memref<1x6x3x4xf32>, %{{.*}}, %[[U:[a-z0-9]+]]: memref<1x3x3x4xf32>, %[[H:[a-z0-9]+]]: memref<5x4xf32>
func.func @groups(%x: memref<5x6xf32>, %W: memref<1x6x3x4xf32>, %b: memref<1x3x4xf32>, %U: memref<1x3x3x4xf32>, %h: memref<5x4xf32>, %n: memref<5x4xf32>, %o: memref<5x3xf32>) {
  // The input has six columns: one whole part of a register, and two more.
  // CHECK: %[[X0:.+]] = vector.load %[[X]][%c0, %c0] : memref<5x6xf32>, vector<4xf32>
  // CHECK: vector.load %[[X]][%c3, %c0]
  // CHECK: %[[ROWS:.+]] = vector.shuffle {{.*}} : vector<8xf32>, vector<8xf32>
  // CHECK: %[[K0:.+]] = vector.load %[[W]][%c0, %c0, %c0, %c0]
  // CHECK: %[[K:.+]] = vector.shuffle %[[K0]], %[[K0]] [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
  // CHECK: %[[F:.+]] = vector.shuffle %[[ROWS]], %[[ROWS]] [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12]
  // CHECK: vector.fma %[[F]], %[[K]], %{{.*}} : vector<16xf32>
  // CHECK: vector.maskedload %[[X]][%c0, %c4]
  // CHECK: vector.load %[[H]][%c0, %c0] : memref<5x4xf32>, vector<16xf32>
  // CHECK: gru.activation {{.*}} : vector<16xf32>
  // CHECK: memref.load %[[X]][%c4, %
  // CHECK: gru.activation {{.*}} : vector<4xf32>
  gru.step <all> input(%x : memref<5x6xf32>) input_kernel(%W : memref<1x6x3x4xf32>) input_bias(%b : memref<1x3x4xf32>)
      kernel(%U : memref<1x3x3x4xf32>) new_state(%n : memref<5x4xf32>) output(%o : memref<5x3xf32>) state(%h : memref<5x4xf32>)
      {units = 3, rows = 8 : i64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Loops over blocks of units and of rows; the rows left over are apart. A weight
// is loaded once for all rows. The last block's output is masked by what is left.
// CHECK-LABEL: func.func @blocks
func.func @blocks(%p: memref<5x3x3x16xf32>, %U: memref<3x40x3x16xf32>, %h: memref<5x48xf32>, %n: memref<5x48xf32>, %o: memref<5x40xf32>) {
  // CHECK: scf.for %[[B:.+]] = %c0 to %c3 step %c1 {
  // CHECK: scf.for %[[ROW:.+]] = %c0 to %c4 step %c2 {
  // CHECK: scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
  // CHECK-COUNT-3: vector.load %{{.*}} : memref<3x40x3x16xf32>
  // CHECK-NOT: vector.load %{{.*}} : memref<3x40x3x16xf32>
  // CHECK: scf.yield
  // CHECK: %[[REST:.+]] = arith.subi %c40, %{{.*}}
  // CHECK: arith.index_cast %[[REST]]
  // CHECK: %[[STORED:.+]] = arith.cmpi sgt
  // CHECK: vector.maskedstore %{{.*}}, %[[STORED]],
  // CHECK: scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>) {
  // CHECK: memref.load %{{.*}}[%c4, %{{.*}}]
  gru.step <all> projection(%p : memref<5x3x3x16xf32>) kernel(%U : memref<3x40x3x16xf32>)
      new_state(%n : memref<5x48xf32>) output(%o : memref<5x40xf32>) state(%h : memref<5x48xf32>)
      {units = 40, rows = 2 : i64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Units that fill their blocks are stored without a mask.
// CHECK-LABEL: func.func @no_tail
func.func @no_tail(%p: memref<1x2x3x16xf32>, %U: memref<2x32x3x16xf32>, %h: memref<1x32xf32>, %n: memref<1x32xf32>, %o: memref<1x32xf32>) {
  // CHECK-NOT: vector.maskedstore
  // CHECK-COUNT-2: vector.store
  gru.step <all> projection(%p : memref<1x2x3x16xf32>) kernel(%U : memref<2x32x3x16xf32>)
      new_state(%n : memref<1x32xf32>) output(%o : memref<1x32xf32>) state(%h : memref<1x32xf32>)
      {units = 32, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// The two phases: z and r * h are stored, then read.
// CHECK-LABEL: func.func @phases
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<1x16xf32>, %[[Z:[a-z0-9]+]]: memref<1x16xf32>, %[[RH:[a-z0-9]+]]: memref<1x16xf32>
func.func @phases(%p: memref<1x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %V: memref<1x7x1x16xf32>, %h: memref<1x16xf32>, %z: memref<1x16xf32>, %rh: memref<1x16xf32>) {
  // CHECK: memref.load %[[H]][
  // CHECK-COUNT-2: vector.fma
  // CHECK-COUNT-2: arith.mulf
  // CHECK: vector.store %{{.*}}, %[[Z]]
  // CHECK: %[[PRODUCT:.+]] = arith.mulf
  // CHECK: vector.store %[[PRODUCT]], %[[RH]]
  gru.step <gates> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x7x2x16xf32>)
      update(%z : memref<1x16xf32>) reset_state(%rh : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  // CHECK: vector.load %{{.*}}[%c0, %c0, %c2, %c0]
  // CHECK: memref.load %[[RH]][
  // CHECK: %[[ZV:.+]] = vector.load %[[Z]]
  // CHECK: arith.mulf %[[ZV]],
  // CHECK: vector.store %{{.*}}, %[[H]]
  gru.step <candidate> projection(%p : memref<1x1x3x16xf32>) kernel(%V : memref<1x7x1x16xf32>)
      update(%z : memref<1x16xf32>) reset_state(%rh : memref<1x16xf32>) new_state(%h : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Recurrent dropout: the products of z, r and h read the state times their masks,
// computed once in front of them; the blend reads the state itself.
// CHECK-LABEL: func.func @dropout
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<1x16xf32>, %[[N:[a-z0-9]+]]: memref<1x16xf32>, %[[M:[a-z0-9]+]]: memref<3x1x16xf32>, %[[D:[a-z0-9]+]]: memref<3x1x16xf32>
func.func @dropout(%p: memref<1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>, %m: memref<3x1x16xf32>, %d: memref<3x1x16xf32>) {
  // CHECK: %[[OLD:.+]] = vector.load %[[H]][%c0, %c0]
  // CHECK: %[[MZ:.+]] = vector.load %[[M]][%c0, %c0, %c0]
  // CHECK: %[[HZ:.+]] = arith.mulf %[[OLD]], %[[MZ]]
  // CHECK: vector.store %[[HZ]], %[[D]][%c0, %c0, %c0]
  // CHECK: vector.load %[[M]][%c1, %c0, %c0]
  // CHECK: vector.load %[[M]][%c2, %c0, %c0]
  // CHECK: memref.load %[[D]][%c0, %c0, %c0]
  // CHECK: memref.load %[[D]][%c1, %c0, %c0]
  // CHECK: memref.load %[[D]][%c2, %c0, %c0]
  // CHECK: vector.load %[[H]][%c0, %c0]
  // CHECK: vector.store %{{.*}}, %[[N]]
  gru.step <all> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x7x3x16xf32>)
      recurrent_dropout_mask(%m : memref<3x1x16xf32>) dropped_state(%d : memref<3x1x16xf32>)
      new_state(%n : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Without reset_after the candidate's mask goes into r * h.
// CHECK-LABEL: func.func @dropout_gates
// CHECK-SAME: %[[Z:[a-z0-9]+]]: memref<1x16xf32>, %[[RH:[a-z0-9]+]]: memref<1x16xf32>, %[[M:[a-z0-9]+]]: memref<3x1x16xf32>, %[[D:[a-z0-9]+]]: memref<2x1x16xf32>
func.func @dropout_gates(%p: memref<1x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %h: memref<1x16xf32>, %z: memref<1x16xf32>, %rh: memref<1x16xf32>, %m: memref<3x1x16xf32>, %d: memref<2x1x16xf32>) {
  // CHECK: %[[MH:.+]] = vector.load %[[M]][%c2, %c0, %c0]
  // CHECK: %[[DROPPED:.+]] = arith.mulf %{{.*}}, %[[MH]]
  // CHECK: %[[PRODUCT:.+]] = arith.mulf %{{.*}}, %[[DROPPED]]
  // CHECK: vector.store %[[PRODUCT]], %[[RH]]
  gru.step <gates> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x7x2x16xf32>)
      recurrent_dropout_mask(%m : memref<3x1x16xf32>) dropped_state(%d : memref<2x1x16xf32>)
      update(%z : memref<1x16xf32>) reset_state(%rh : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// CHECK-LABEL: func.func @mask_emit_clip
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<1xi1>, %[[E:[a-z0-9]+]]: memref<1xi1>
func.func @mask_emit_clip(%p: memref<1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>, %o: memref<1x7xf32>, %m: memref<1xi1>, %e: memref<1xi1>) {
  // CHECK: arith.minimumf
  // CHECK: arith.maximumf
  // CHECK: gru.activation
  // CHECK: %[[KEEP:.+]] = memref.load %[[M]][%c0]
  // CHECK: %[[STATE:.+]] = arith.select %[[KEEP]]
  // CHECK: vector.store %[[STATE]]
  // CHECK: %[[EMIT:.+]] = memref.load %[[E]][%c0]
  // CHECK: %[[OUT:.+]] = arith.select %[[EMIT]], %[[STATE]]
  // CHECK: vector.maskedstore {{.*}}, %[[OUT]]
  gru.step <all> projection(%p : memref<1x1x3x16xf32>) kernel(%U : memref<1x7x3x16xf32>) new_state(%n : memref<1x16xf32>)
      output(%o : memref<1x7xf32>) mask(%m : memref<1xi1>) emit(%e : memref<1xi1>) state(%h : memref<1x16xf32>)
      {units = 7, clip = 3.0 : f64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// A row-wise activation waits for the sums of the whole row: they are stored, and
// a second pass finishes the step over the units that there are, not the padding.
// CHECK-LABEL: func.func @rowwise
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<2x3x16xf32>
func.func @rowwise(%p: memref<2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x16xf32>, %n: memref<2x16xf32>, %a: memref<2x3x16xf32>) {
  // CHECK: scf.for
  // CHECK: scf.for
  // CHECK: scf.yield
  // CHECK-COUNT-3: vector.store %{{.*}}, %[[A]]
  // CHECK: scf.for %[[ROW:.+]] = %c0 to %c2 step %c1
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<sigmoid>} : vector<16xf32>
  // CHECK: memref.subview %[[A]][%[[ROW]], 2, 0] [1, 1, 16]
  // CHECK: scf.for %{{.*}} = %c0 to %c7
  // CHECK: math.exp
  // CHECK: vector.fma
  // CHECK-NOT: kind = #gru.act<softmax>
  gru.step <all> projection(%p : memref<2x1x3x16xf32>) kernel(%U : memref<1x7x3x16xf32>) preactivations(%a : memref<2x3x16xf32>)
      new_state(%n : memref<2x16xf32>) state(%h : memref<2x16xf32>)
      {units = 7, activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Blocks are walked from the last to the first where `turn` is true. The sums of
// several rows go through memory, and four rows are finished at once.
// CHECK-LABEL: func.func @turn
// CHECK-SAME: %[[TURN:[a-z0-9]+]]: i1
func.func @turn(%p: memref<6x2x3x16xf32>, %U: memref<2x32x3x16xf32>, %h: memref<6x32xf32>, %n: memref<6x32xf32>, %turn: i1) {
  // CHECK: %[[SUMS:.+]] = memref.alloc() : memref<3x96xf32>
  // CHECK: scf.for %[[B:.+]] = %c0 to %c2 step %c1 {
  // CHECK: %[[BACK:.+]] = arith.subi %c1, %[[B]]
  // CHECK: arith.select %[[TURN]], %[[BACK]], %[[B]]
  // CHECK: scf.for {{.*}} -> (vector<16xf32>,
  // CHECK-COUNT-18: vector.store %{{.*}}, %[[SUMS]]
  // CHECK: vector.load %[[SUMS]][%c0, %{{.*}}] : memref<3x96xf32>, vector<64xf32>
  // CHECK: gru.activation %{{.*}} : vector<64xf32>
  // CHECK: vector.shuffle %{{.*}} [48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63]
  // CHECK: vector.load %[[SUMS]][%c0, %{{.*}}] : memref<3x96xf32>, vector<32xf32>
  gru.step <all> projection(%p : memref<6x2x3x16xf32>) kernel(%U : memref<2x32x3x16xf32>)
      new_state(%n : memref<6x32xf32>) turn(%turn) state(%h : memref<6x32xf32>)
      {units = 32, rows = 6 : i64, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// A fused projection: the sums start with the inputs, and that of the candidate
// waits apart while its recurrent sum is made.
// CHECK-LABEL: func.func @fused
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<1x5xf32>, %[[W:[a-z0-9]+]]: memref<1x5x3x16xf32>
func.func @fused(%x: memref<1x5xf32>, %W: memref<1x5x3x16xf32>, %b: memref<1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>) {
  // CHECK: memref.load %[[X]][%c0, %c0]
  // CHECK: vector.load %[[W]][%c0, %c0, %c0, %c0]
  // CHECK: memref.load %[[X]][%c0, %c4]
  // CHECK-COUNT-8: arith.addf
  // CHECK: %[[IN:.+]] = arith.addf
  // CHECK: memref.load
  // CHECK-COUNT-8: arith.addf
  // CHECK: %[[SUM:.+]] = arith.addf
  // CHECK: vector.fma %{{.*}}, %[[SUM]], %[[IN]]
  gru.step <all> input(%x : memref<1x5xf32>) input_kernel(%W : memref<1x5x3x16xf32>) input_bias(%b : memref<1x3x16xf32>)
      kernel(%U : memref<1x7x3x16xf32>) new_state(%n : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Without reset_after each phase takes the gates that it needs.
// CHECK-LABEL: func.func @fused_candidate
// CHECK-SAME: %[[W:[a-z0-9]+]]: memref<1x5x3x16xf32>
func.func @fused_candidate(%W: memref<1x5x3x16xf32>, %x: memref<1x5xf32>, %b: memref<1x3x16xf32>, %U: memref<1x7x1x16xf32>, %z: memref<1x16xf32>, %rh: memref<1x16xf32>, %h: memref<1x16xf32>, %n: memref<1x16xf32>) {
  // CHECK: vector.load %{{.*}}[%c0, %c2, %c0] : memref<1x3x16xf32>
  // CHECK: vector.load %[[W]][%c0, %{{.*}}, %c2, %c0]
  gru.step <candidate> input(%x : memref<1x5xf32>) input_kernel(%W : memref<1x5x3x16xf32>) input_bias(%b : memref<1x3x16xf32>)
      kernel(%U : memref<1x7x1x16xf32>) update(%z : memref<1x16xf32>) reset_state(%rh : memref<1x16xf32>)
      new_state(%n : memref<1x16xf32>) state(%h : memref<1x16xf32>)
      {units = 7, activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
  return
}

// Rows of a batch that the mask leaves out together are not computed: of each four
// here somebody asks first. Sequences in order of their lengths so end one by one.
// CHECK-LABEL: func.func @masked_rows
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<8xi1>, %[[H:[a-z0-9]+]]: memref<8x32xf32>, %[[N:[a-z0-9]+]]: memref<8x32xf32>
func.func @masked_rows(%p: memref<8x2x3x16xf32>, %U: memref<2x32x3x16xf32>, %m: memref<8xi1>, %h: memref<8x32xf32>, %n: memref<8x32xf32>) {
  // CHECK: scf.for %[[ROW:.+]] = %c0 to %c8 step %c4
  // CHECK: memref.load %[[M]][%[[ROW]]]
  // CHECK-COUNT-3: arith.ori
  // CHECK: scf.if
  // CHECK: vector.fma
  // CHECK: } else {
  // CHECK-NOT: vector.fma
  // CHECK-COUNT-4: vector.store %{{.*}}, %[[N]]
  // CHECK-NOT: vector.fma
  // CHECK: return
  gru.step <all> projection(%p : memref<8x2x3x16xf32>) kernel(%U : memref<2x32x3x16xf32>)
      new_state(%n : memref<8x32xf32>) mask(%m : memref<8xi1>) state(%h : memref<8x32xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, units = 32 : i64, rows = 4 : i64}
  return
}
