// RUN: %gru-opt %s --convert-gru-recur-to-loops --canonicalize | FileCheck %s
// RUN: %gru-opt %s --convert-gru-recur-to-loops=skip-masked --canonicalize | FileCheck %s --check-prefix=SKIP

// With reset_after a step reads the whole old state while it writes the new one:
// two buffers of padded rows, and the parity of T says which one is the last.
// CHECK-LABEL: func.func @double_buffer
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<?x2x2x3x16xf32>, %[[U:[a-z0-9]+]]: memref<2x20x3x16xf32>, %[[C:[a-z0-9]+]]: memref<2x1x16xf32>, %[[H:[a-z0-9]+]]: memref<2x20xf32>, %[[S:[a-z0-9]+]]: memref<2x?x20xf32>
func.func @double_buffer(%p: memref<?x2x2x3x16xf32>, %U: memref<2x20x3x16xf32>, %c: memref<2x1x16xf32>, %h: memref<2x20xf32>, %s: memref<2x?x20xf32>) {
  // CHECK: %[[T:.+]] = memref.dim %[[P]], %c0
  // CHECK: %[[STATES:.+]] = memref.alloc() : memref<2x2x32xf32>
  // CHECK: memref.copy %[[H]], %{{.*}} : memref<2x20xf32> to memref<2x20xf32, strided<[32, 1]>>
  // CHECK: scf.for %[[I:.+]] = %c0 to %[[T]] step %c1 {
  // CHECK: %[[PI:.+]] = memref.subview %[[P]][%[[I]], 0, 0, 0, 0] [1, 2, 2, 3, 16]
  // CHECK: %[[OLD:.+]] = arith.remui %[[I]], %c2
  // CHECK: %[[NEW:.+]] = arith.subi %c1, %[[OLD]]
  // CHECK: %[[OLDSTATE:.+]] = memref.subview %[[STATES]][%[[OLD]], 0, 0]
  // CHECK: %[[NEWSTATE:.+]] = memref.subview %[[STATES]][%[[NEW]], 0, 0]
  // CHECK: %[[OUT:.+]] = memref.subview %[[S]][0, %[[I]], 0] [2, 1, 20]
  // CHECK: %[[I32:.+]] = arith.index_cast %[[I]] : index to i32
  // CHECK: %[[TURN:.+]] = arith.trunci %[[I32]] : i32 to i1
  // CHECK: gru.step <all> projection(%[[PI]] : {{.*}}) kernel(%[[U]] : {{.*}}) recurrent_bias(%[[C]] : {{.*}}) new_state(%[[NEWSTATE]] : {{.*}}) output(%[[OUT]] : {{.*}}) turn(%[[TURN]]) state(%[[OLDSTATE]] :
  // CHECK-SAME: rows = 2 : i64, units = 20 : i64
  // CHECK: }
  // CHECK: %[[LAST:.+]] = arith.remui %[[T]], %c2
  // CHECK: memref.subview %[[STATES]][%[[LAST]], 0, 0]
  // CHECK: memref.copy %{{.*}}, %[[H]]
  gru.recur ins(%p : memref<?x2x2x3x16xf32>) kernels(%U : memref<2x20x3x16xf32>) recurrent_bias(%c : memref<2x1x16xf32>)
      state(%h : memref<2x20xf32>) sequence(%s : memref<2x?x20xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, rows = 2 : i64}
  return
}

// One block of units writes its rows when it has read them: one buffer. For one
// row of a state of the program, that buffer is the state's own memory.
// CHECK-LABEL: func.func @in_place
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<1x7xf32>
func.func @in_place(%p: memref<?x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32> {gru.state = 0 : i64}) {
  // CHECK: %[[STATES:.+]] = memref.reinterpret_cast %[[H]] to offset: [0], sizes: [1, 1, 16]
  // CHECK-NOT: memref.alloc
  // CHECK-NOT: memref.copy
  // CHECK: gru.step <all> {{.*}} new_state(%[[STATE:[a-z0-9_]+]] : {{.*}}) state(%[[STATE]] :
  // CHECK-NOT: memref.copy
  gru.recur ins(%p : memref<?x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// The only step of a call reads the state where it is. What it leaves is copied
// there when nothing else is to be done, for all layers together.
// CHECK-LABEL: func.func @only_step
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<1x32xf32> {gru.state = 0 : i64}, %[[G:[a-z0-9]+]]: memref<1x32xf32> {gru.state = 1 : i64}
func.func @only_step(%p: memref<1x1x2x3x16xf32>, %U: memref<2x32x3x16xf32>, %h: memref<1x32xf32> {gru.state = 0 : i64}, %g: memref<1x32xf32> {gru.state = 1 : i64}) {
  // CHECK: %[[NEW:.+]] = memref.alloc() : memref<1x1x32xf32>
  // CHECK-NOT: memref.copy
  // CHECK: gru.step <all>
  // CHECK-NOT: memref.copy
  // CHECK: gru.step <all>
  // CHECK-DAG: memref.copy %{{.*}}, %[[H]]
  // CHECK-DAG: memref.copy %{{.*}}, %[[G]]
  // CHECK-NEXT: return
  gru.recur ins(%p : memref<1x1x2x3x16xf32>) kernels(%U : memref<2x32x3x16xf32>) state(%h : memref<1x32xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  gru.recur ins(%p : memref<1x1x2x3x16xf32>) kernels(%U : memref<2x32x3x16xf32>) state(%g : memref<1x32xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// Who reads the state meanwhile reads what the step has left.
// CHECK-LABEL: func.func @only_step_then_read
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<1x32xf32> {gru.state = 0 : i64}, %[[Y:[a-z0-9]+]]: memref<1x32xf32>
func.func @only_step_then_read(%p: memref<1x1x2x3x16xf32>, %U: memref<2x32x3x16xf32>, %h: memref<1x32xf32> {gru.state = 0 : i64}, %y: memref<1x32xf32>) {
  // CHECK: gru.step <all>
  // CHECK: memref.copy %{{.*}}, %[[H]]
  // CHECK: memref.copy %[[H]], %[[Y]]
  gru.recur ins(%p : memref<1x1x2x3x16xf32>) kernels(%U : memref<2x32x3x16xf32>) state(%h : memref<1x32xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  memref.copy %h, %y : memref<1x32xf32> to memref<1x32xf32>
  return
}

// A fused projection: a step takes the inputs of its timestep.
// CHECK-LABEL: func.func @fused
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x?x5xf32>
func.func @fused(%x: memref<2x?x5xf32>, %W: memref<1x5x3x16xf32>, %b: memref<1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // CHECK: %[[T:.+]] = memref.dim %[[X]], %c1
  // CHECK: scf.for %[[I:.+]] = %c0 to %[[T]]
  // CHECK: %[[XI:.+]] = memref.subview %[[X]][0, %[[I]], 0] [2, 1, 5]
  // CHECK: gru.step <all> input(%[[XI]] : {{.*}}) input_kernel(%{{.*}}) input_bias(%{{.*}}) kernel(
  gru.recur input(%x : memref<2x?x5xf32>) input_kernel(%W : memref<1x5x3x16xf32>) input_bias(%b : memref<1x3x16xf32>)
      kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// Without it the second phase reads r * h instead: one buffer, in place.
// CHECK-LABEL: func.func @single_buffer
func.func @single_buffer(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %V: memref<1x7x1x16xf32>, %h: memref<2x7xf32>) {
  // CHECK-DAG: %[[STATES:.+]] = memref.alloc() : memref<1x2x16xf32>
  // CHECK-COUNT-2: memref.alloc() : memref<2x16xf32>
  // CHECK: scf.for %{{.*}} = %c0 to %c5
  // CHECK: gru.step <gates> {{.*}} update(%[[Z:[a-z0-9_]+]] : {{.*}}) reset_state(%[[RH:[a-z0-9_]+]] : {{.*}}) state(%[[STATE:[a-z0-9_]+]] :
  // CHECK: gru.step <candidate> {{.*}} update(%[[Z]] : {{.*}}) reset_state(%[[RH]] : {{.*}}) new_state(%[[STATE]] : {{.*}}) state(%[[STATE]] :
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U, %V : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// The dropout mask is padded once, in front of the loop.
// CHECK-LABEL: func.func @recurrent_dropout
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<3x2x7xf32>)
func.func @recurrent_dropout(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x2x16xf32>, %V: memref<1x7x1x16xf32>, %h: memref<2x7xf32>, %m: memref<3x2x7xf32>) {
  // CHECK: %[[MASK:.+]] = memref.alloc() : memref<3x2x16xf32>
  // CHECK: %[[VIEW:.+]] = memref.subview %[[MASK]][0, 0, 0] [3, 2, 7]
  // CHECK: memref.copy %[[M]], %[[VIEW]]
  // CHECK: %[[DROPPED:.+]] = memref.alloc() : memref<2x2x16xf32>
  // CHECK: scf.for
  // CHECK: gru.step <gates> {{.*}} recurrent_dropout_mask(%[[MASK]] : {{.*}}) dropped_state(%[[DROPPED]] :
  // CHECK: gru.step <candidate>
  // CHECK-NOT: dropped_state
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U, %V : memref<1x7x2x16xf32>, memref<1x7x1x16xf32>)
      recurrent_dropout_mask(%m : memref<3x2x7xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>}
  return
}

// Reads time T-1-i and writes there.
// CHECK-LABEL: func.func @backward
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<5x1x1x3x16xf32>, %{{.*}}, %[[S:[a-z0-9]+]]: memref<5x1x7xf32>
func.func @backward(%p: memref<5x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>, %s: memref<5x1x7xf32>) {
  // CHECK: scf.for %[[I:.+]] =
  // CHECK: %[[AT:.+]] = arith.subi %c4, %[[I]]
  // CHECK: memref.subview %[[P]][%[[AT]], 0, 0, 0, 0]
  // CHECK: memref.subview %[[S]][%[[AT]], 0, 0]
  gru.recur ins(%p : memref<5x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>) sequence(%s : memref<5x1x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward>, reset_after, time_major}
  return
}

// Reads time T-1-i and writes position i.
// CHECK-LABEL: func.func @backward_processed
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<5x1x1x3x16xf32>, %{{.*}}, %[[S:[a-z0-9]+]]: memref<1x5x7xf32>
func.func @backward_processed(%p: memref<5x1x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<1x7xf32>, %s: memref<1x5x7xf32>) {
  // CHECK: scf.for %[[I:.+]] =
  // CHECK: %[[AT:.+]] = arith.subi %c4, %[[I]]
  // CHECK: memref.subview %[[P]][%[[AT]], 0, 0, 0, 0]
  // CHECK: memref.subview %[[S]][0, %[[I]], 0]
  gru.recur ins(%p : memref<5x1x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<1x7xf32>) sequence(%s : memref<1x5x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward_processed>, reset_after}
  return
}

// Until a row has seen an unmasked step its output is zeros, not its state.
// CHECK-LABEL: func.func @mask
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<2x5xi1>, %[[S:[a-z0-9]+]]: memref<2x5x7xf32>, %[[L:[a-z0-9]+]]: memref<2x7xf32>
func.func @mask(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %m: memref<2x5xi1>, %s: memref<2x5x7xf32>, %l: memref<2x7xf32>) {
  // CHECK: %[[SEEN:.+]] = memref.alloc() : memref<2xi1>
  // CHECK: memref.store %false, %[[SEEN]]
  // CHECK: scf.for %[[I:.+]] = %c0 to %c5
  // CHECK: %[[MI:.+]] = memref.subview %[[M]][0, %[[I]]] [2, 1]
  // CHECK: arith.ori
  // CHECK: memref.store %{{.*}}, %[[SEEN]]
  // CHECK: gru.step <all> {{.*}} mask(%[[MI]] : {{.*}}) emit(%[[SEEN]] :
  // CHECK: memref.load %[[SEEN]]
  // CHECK: arith.select
  // CHECK: memref.store %{{.*}}, %[[L]]
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) mask(%m : memref<2x5xi1>) state(%h : memref<2x7xf32>)
      sequence(%s : memref<2x5x7xf32>) last(%l : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// Where the initial state is zeros the state itself is that output.
// With skip-masked a step that no row takes carries the state over.
// SKIP-LABEL: func.func @skip
// SKIP-SAME: %[[M:[a-z0-9]+]]: memref<2x5xi1>, %[[S:[a-z0-9]+]]: memref<2x5x20xf32>
// CHECK-LABEL: func.func @skip
// CHECK-NOT: scf.if
func.func @skip(%p: memref<5x2x2x3x16xf32>, %U: memref<2x20x3x16xf32>, %h: memref<2x20xf32>, %m: memref<2x5xi1>, %s: memref<2x5x20xf32>) {
  // SKIP: %[[ANY:.+]] = scf.for %{{.*}} = %c0 to %c2 {{.*}} iter_args(%[[OLD:.+]] = %false)
  // SKIP: arith.ori %[[OLD]]
  // SKIP: scf.if %[[ANY]] {
  // SKIP: gru.step
  // SKIP: } else {
  // SKIP: memref.copy %{{.*}} : memref<2x32xf32, {{.*}}> to memref<2x32xf32
  // SKIP: scf.for
  // SKIP: arith.select
  gru.recur ins(%p : memref<5x2x2x3x16xf32>) kernels(%U : memref<2x20x3x16xf32>) mask(%m : memref<2x5xi1>) state(%h : memref<2x20xf32>) sequence(%s : memref<2x5x20xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// CHECK-LABEL: func.func @mask_from_zeros
func.func @mask_from_zeros(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %m: memref<2x5xi1>, %s: memref<2x5x7xf32>) {
  // CHECK-NOT: memref.alloc() : memref<2xi1>
  // CHECK: gru.step
  // CHECK-NOT: emit
  // CHECK: return
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) mask(%m : memref<2x5xi1>) state(%h : memref<2x7xf32>) sequence(%s : memref<2x5x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after, zero_initial_state}
  return
}

// Outputs are zeroed by the mask of the time read, or of the position written.
// CHECK-LABEL: func.func @zero_output
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<5x2xi1>
func.func @zero_output(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %s: memref<5x2x7xf32>, %m: memref<5x2xi1>) {
  // CHECK: scf.for %[[I:.+]] = %c0 to %c5
  // CHECK: %[[AT:.+]] = arith.subi %c4, %[[I]]
  // CHECK: memref.subview %[[M]][%[[AT]], 0]
  // CHECK: %[[E:.+]] = memref.subview %[[M]][%[[AT]], 0]
  // CHECK: gru.step <all> {{.*}} emit(%[[E]] :
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) mask(%m : memref<5x2xi1>) state(%h : memref<2x7xf32>) sequence(%s : memref<5x2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward_processed>, reset_after, time_major, zero_output_for_mask}
  // CHECK: scf.for %[[I:.+]] = %c0 to %c5
  // CHECK: %[[E:.+]] = memref.subview %[[M]][%[[I]], 0]
  // CHECK: gru.step <all> {{.*}} emit(%[[E]] :
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) mask(%m : memref<5x2xi1>) state(%h : memref<2x7xf32>) sequence(%s : memref<5x2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<backward_processed>, reset_after, time_major, zero_output_for_mask, zero_by_position}
  return
}

// CHECK-LABEL: func.func @reset
// CHECK-SAME: %[[R:[a-z0-9]+]]: memref<2x5xi1>
func.func @reset(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>, %r: memref<2x5xi1>) {
  // CHECK: scf.for %[[I:.+]] = %c0 to %c5
  // CHECK: %[[OLD:.+]] = memref.subview %{{.*}} [1, 2, 16]
  // CHECK: %[[RI:.+]] = memref.subview %[[R]][0, %[[I]]]
  // CHECK: %[[CLEAR:.+]] = memref.load %[[RI]]
  // CHECK: scf.if %[[CLEAR]]
  // CHECK: memref.store %cst, %[[STATE:[a-z0-9_]+]][
  // CHECK: gru.step {{.*}} state(%[[STATE]] :
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) reset(%r : memref<2x5xi1>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}

// A row-wise activation needs room for the sums of all units.
// CHECK-LABEL: func.func @rowwise
func.func @rowwise(%p: memref<5x2x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<2x7xf32>) {
  // CHECK: %[[A:.+]] = memref.alloc() : memref<2x3x16xf32>
  // CHECK: gru.step <all> {{.*}} preactivations(%[[A]] :
  gru.recur ins(%p : memref<5x2x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<2x7xf32>)
      {activation = #gru.act<softmax>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}
