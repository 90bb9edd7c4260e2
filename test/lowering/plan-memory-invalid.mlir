// RUN: %gru-opt-no-roundtrip %s --gru-plan-memory -split-input-file -verify-diagnostics -o %t

func.func @in_loop(%x: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %c1 step %c1 {
    // expected-error @below {{allocates inside a loop}}
    %a = memref.alloc() : memref<4xf32>
    memref.copy %x, %a : memref<4xf32> to memref<4xf32>
  }
  return
}

// -----

func.func @unknown_size(%n: index) {
  // expected-error @below {{size does not follow from the inputs' shapes}}
  %a = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

func.func private @shared(%x: memref<?xf32>, %n: index) {
  // expected-error @below {{has a size that only a run knows, in a function that is called}}
  %a = memref.alloc(%n) : memref<?xf32>
  memref.copy %x, %a : memref<?xf32> to memref<?xf32>
  return
}
