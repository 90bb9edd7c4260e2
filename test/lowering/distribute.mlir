// RUN: %gru-opt %s --gru-distribute=threads=2 --split-input-file --verify-diagnostics | FileCheck %s

// Stores around the loop are phases of one part, indices are everyone's own.
// CHECK-LABEL: func.func @gru_kernel
// CHECK-SAME: (%[[CALL:.+]]: !llvm.ptr, %[[MEMBER:.+]]: i32) attributes {gru.plan = {team = 2 : i64, weights_bytes = 0 : i64}}
// CHECK: %[[AT:.+]] = llvm.getelementptr %[[CALL]][0, 6]
// CHECK: %[[TEAM:.+]] = llvm.load %[[AT]]
// CHECK: %[[NEXT:.+]] = llvm.load %[[TEAM]]
func.func @gru_kernel(%call: !llvm.ptr, %member: i32)
    attributes {gru.plan = {weights_bytes = 0 : i64}} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c9 = arith.constant 9 : index
  %f0 = arith.constant 0.0 : f32
  %y = memref.alloca() : memref<16xf32>
  // CHECK: scf.while
  // CHECK: %[[PART:.+]] = llvm.call %[[NEXT]](%[[TEAM]], %[[MEMBER]], %c1{{.*}})
  // CHECK: arith.cmpi sge, %[[PART]]
  // CHECK: memref.store
  // CHECK: memref.store
  memref.store %f0, %y[%c0] : memref<16xf32>
  memref.store %f0, %y[%c1] : memref<16xf32>
  // CHECK: scf.for %[[T:.+]] =
  scf.for %t = %c0 to %c9 step %c1 {
    // CHECK-NEXT: %[[I:.+]] = arith.addi %[[T]]
    %i = arith.addi %t, %c1 : index
    // CHECK: scf.while
    // CHECK: llvm.call %[[NEXT]](%[[TEAM]], %[[MEMBER]], %{{.+}})
    // CHECK: do {
    // CHECK-NEXT: ^bb0(%[[MINE:.+]]: i64):
    // CHECK-NEXT: %[[P:.+]] = arith.index_cast %[[MINE]]
    // CHECK-NEXT: arith.addi %[[P]], %[[I]]
    // CHECK-NEXT: memref.store
    // CHECK-NOT: scf.parallel
    scf.parallel (%p) = (%c0) to (%c2) step (%c1) {
      %at = arith.addi %p, %i : index
      memref.store %f0, %y[%at] : memref<16xf32>
    }
  }
  return
}

// -----

// What is loaded in one phase decides how often another one happens.
// CHECK-LABEL: func.func @escapes
// CHECK-NOT: scf.while
// CHECK: scf.for
// CHECK: scf.for
func.func @escapes(%call: !llvm.ptr, %member: i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %f0 = arith.constant 0.0 : f32
  %y = memref.alloca() : memref<16xf32>
  %lengths = memref.alloca() : memref<1xindex>
  // expected-remark @below {{threads: is needed by all of them, so the program runs on one}}
  %length = memref.load %lengths[%c0] : memref<1xindex>
  scf.for %t = %c0 to %length step %c1 {
    scf.parallel (%p) = (%c0) to (%c2) step (%c1) {
      memref.store %f0, %y[%p] : memref<16xf32>
    }
  }
  return
}

// -----

// As in a stream of one small layer: meeting would take longer.
// CHECK-LABEL: func.func @too_little
// CHECK-NOT: scf.while
// CHECK: scf.for
func.func @too_little(%call: !llvm.ptr, %member: i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %f0 = arith.constant 0.0 : f32
  %y = memref.alloca() : memref<16xf32>
  scf.parallel (%p) = (%c0) to (%c2) step (%c1) {
    memref.store %f0, %y[%p] : memref<16xf32>
  } {gru.products = 45000 : i64}
  return
}

// -----

// The same twice is enough.
// CHECK-LABEL: func.func @often
// CHECK: scf.for
// CHECK: scf.while
func.func @often(%call: !llvm.ptr, %member: i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %f0 = arith.constant 0.0 : f32
  %y = memref.alloca() : memref<16xf32>
  scf.for %t = %c0 to %c2 step %c1 {
    scf.parallel (%p) = (%c0) to (%c2) step (%c1) {
      memref.store %f0, %y[%p] : memref<16xf32>
    } {gru.products = 45000 : i64}
  }
  return
}

// -----

// Nothing to share: as it was.
// CHECK-LABEL: func.func @alone
// CHECK-NOT: llvm.call
func.func @alone(%x: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %f0 = arith.constant 0.0 : f32
  memref.store %f0, %x[%c0] : memref<4xf32>
  return
}

// -----

func.func @convention(%x: memref<4xf32>) { // expected-error {{has not the calling convention of a kernel (see gru-lower-entry)}}
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %f0 = arith.constant 0.0 : f32
  scf.parallel (%p) = (%c0) to (%c1) step (%c1) {
    memref.store %f0, %x[%p] : memref<4xf32>
  }
  return
}
