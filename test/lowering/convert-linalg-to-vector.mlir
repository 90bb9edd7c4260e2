// RUN: %gru-opt %s --convert-linalg-to-vector --canonicalize --cse | FileCheck %s
// RUN: %gru-opt %s --convert-linalg-to-vector=vector-bytes=16 --canonicalize --cse | FileCheck %s --check-prefix=NARROW

#conv = [affine_map<(m, w, c, k) -> (c, w + k)>, affine_map<(m, w, c, k) -> (m, c, k)>,
         affine_map<(m, w, c, k) -> (m, w)>]

// Eight filters by 33 positions, 24 sums in registers; the fill is never written.
// CHECK-LABEL: func.func @convolution
// CHECK-NOT: linalg
// CHECK: scf.for
// CHECK: scf.for %{{.*}} iter_args(
// CHECK: scf.for %{{.*}} iter_args(
// CHECK: vector.load {{.*}} vector<16xf32>
// CHECK-COUNT-24: vector.fma
// CHECK-NOT: vector.fma
// CHECK: vector.store {{.*}} vector<16xf32>
// NARROW-LABEL: func.func @convolution
// NARROW: vector.fma {{.*}} vector<4xf32>
func.func @convolution(%x: memref<24x35xf32>, %w: memref<16x24x3xf32>, %out: memref<16x33xf32>) {
  %zero = arith.constant 0.0 : f32
  %y = memref.alloc() : memref<16x33xf32>
  linalg.fill ins(%zero : f32) outs(%y : memref<16x33xf32>)
  linalg.generic {indexing_maps = #conv, iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : memref<24x35xf32>, memref<16x24x3xf32>) outs(%y : memref<16x33xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  }
  memref.copy %y, %out : memref<16x33xf32> to memref<16x33xf32>
  return
}

// Loops of one iteration vanish, and dense ones become one.
// CHECK-LABEL: func.func @elementwise
// CHECK: scf.for %{{.*}} = %c0 to %c80 step %c16
// CHECK: vector.load {{.*}} vector<16xf32>
// CHECK: gru.activation {{.*}} vector<16xf32>
// CHECK-NOT: scf.for
// CHECK: vector.load {{.*}} vector<4xf32>
func.func @elementwise(%x: memref<1x12x1x7xf32>, %y: memref<1x12x1x7xf32>) {
  linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
                  iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%x : memref<1x12x1x7xf32>) outs(%y : memref<1x12x1x7xf32>) {
  ^bb0(%a: f32, %b: f32):
    %t = gru.activation %a {kind = #gru.act<tanh>} : f32
    linalg.yield %t : f32
  }
  return
}

// A sum over what is contiguous: one per lane, then a tree.
// CHECK-LABEL: func.func @mean
// CHECK: scf.for %{{.*}} iter_args(%{{.*}}) -> (vector<16xf32>)
// CHECK: arith.addf {{.*}} vector<16xf32>
// CHECK: arith.addf {{.*}} vector<8xf32>
// CHECK: arith.addf {{.*}} vector<4xf32>
// CHECK: arith.addf {{.*}} vector<2xf32>
// CHECK: arith.addf {{.*}} vector<1xf32>
// CHECK: memref.store
func.func @mean(%x: memref<5x32xf32>, %y: memref<5xf32>) {
  linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<5x32xf32>) outs(%y : memref<5xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %b, %a : f32
    linalg.yield %s : f32
  }
  return
}

// Not of half types, whose vectors LLVM takes apart through library calls.
// CHECK-LABEL: func.func @mean_of_halves
// CHECK: linalg.generic
func.func @mean_of_halves(%x: memref<5x32xbf16>, %y: memref<5xbf16>) {
  linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<5x32xbf16>) outs(%y : memref<5xbf16>) {
  ^bb0(%a: bf16, %b: bf16):
    %s = arith.addf %b, %a : bf16
    linalg.yield %s : bf16
  }
  return
}

// An open size: whole vectors, then one element at a time.
// CHECK-LABEL: func.func @open
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<16xf32>
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<1xf32>
func.func @open(%x: memref<?xf32>, %y: memref<?xf32>) {
  linalg.generic {indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>], iterator_types = ["parallel"]}
      ins(%x : memref<?xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %a : f32
    linalg.yield %s : f32
  }
  return
}

// Every second element, by two loads and a shuffle.
// CHECK-LABEL: func.func @strided
// CHECK-COUNT-2: vector.load
// CHECK: vector.shuffle
func.func @strided(%x: memref<31xf32>, %y: memref<16xf32>) {
  linalg.generic {indexing_maps = [affine_map<(a) -> (a * 2)>, affine_map<(a) -> (a)>], iterator_types = ["parallel"]}
      ins(%x : memref<31xf32>) outs(%y : memref<16xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %a : f32
    linalg.yield %s : f32
  }
  return
}

// Left alone: a transposition, and a body that reads memory.
// CHECK-LABEL: func.func @scalar
// CHECK-COUNT-2: linalg.generic
func.func @scalar(%x: memref<16x33xf32>, %y: memref<33x16xf32>, %i: memref<33xindex>, %z: memref<33xf32>) {
  linalg.generic {indexing_maps = [affine_map<(a, b) -> (b, a)>, affine_map<(a, b) -> (a, b)>],
                  iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<16x33xf32>) outs(%y : memref<33x16xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  }
  linalg.generic {indexing_maps = [affine_map<(a) -> (a)>], iterator_types = ["parallel"]} outs(%z : memref<33xf32>) {
  ^bb0(%b: f32):
    %n = linalg.index 0 : index
    %p = memref.load %i[%n] : memref<33xindex>
    %v = memref.load %z[%p] : memref<33xf32>
    linalg.yield %v : f32
  }
  return
}
