// RUN: %gru-opt %s --gru-lower-dot-bytes=instruction=vpdpbusd | FileCheck %s --check-prefix=VNNI
// RUN: %gru-opt %s --gru-lower-dot-bytes=instruction=pmaddwd | FileCheck %s --check-prefix=PAIRS
// RUN: %gru-opt %s --gru-lower-dot-bytes=instruction=usdot | FileCheck %s --check-prefix=USDOT
// RUN: %gru-opt %s --gru-lower-dot-bytes | FileCheck %s --check-prefix=PLAIN
// RUN: not %gru-opt %s --gru-lower-dot-bytes=instruction=fma 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: error: instruction is 'fma', expected vpdpbusd, pmaddwd, usdot or none

// VNNI-LABEL: func.func @dot
// VNNI-NEXT: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%arg2, %arg0, %arg1) : (vector<16xi32>, vector<64xi8>, vector<64xi8>) -> vector<16xi32>

// Even bytes, then odd ones; only the left side's are unsigned.
// PAIRS-LABEL: func.func @dot
// PAIRS-DAG: %[[BYTE:.+]] = arith.constant dense<255> : vector<32xi16>
// PAIRS-DAG: %[[EIGHT:.+]] = arith.constant dense<8> : vector<32xi16>
// PAIRS-DAG: %[[X:.+]] = vector.bitcast %arg0 : vector<64xi8> to vector<32xi16>
// PAIRS-DAG: %[[Y:.+]] = vector.bitcast %arg1 : vector<64xi8> to vector<32xi16>
// PAIRS-DAG: %[[XE:.+]] = arith.andi %[[X]], %{{.+}} : vector<32xi16>
// PAIRS: %[[YL:.+]] = arith.shli %[[Y]], %{{.+}} : vector<32xi16>
// PAIRS: %[[YE:.+]] = arith.shrsi %[[YL]], %{{.+}} : vector<32xi16>
// PAIRS: %[[E:.+]] = llvm.call_intrinsic "llvm.x86.avx512.pmaddw.d.512"(%[[XE]], %[[YE]])
// PAIRS-DAG: %[[XO:.+]] = arith.shrui %[[X]], %{{.+}} : vector<32xi16>
// PAIRS-DAG: %[[YO:.+]] = arith.shrsi %[[Y]], %{{.+}} : vector<32xi16>
// PAIRS: %[[O:.+]] = llvm.call_intrinsic "llvm.x86.avx512.pmaddw.d.512"(%[[XO]], %[[YO]])
// PAIRS: %[[S:.+]] = arith.addi %arg2, %[[E]]
// PAIRS: arith.addi %[[S]], %[[O]]

// No form for so many lanes.
// USDOT-LABEL: func.func @dot
// USDOT-NOT: call_intrinsic
// USDOT-COUNT-4: arith.muli
// USDOT: return

// PLAIN-LABEL: func.func @dot
// PLAIN-COUNT-4: arith.muli {{.*}} : vector<16xi32>
// PLAIN-NOT: arith.muli
// PLAIN: return
func.func @dot(%x: vector<64xi8>, %y: vector<64xi8>, %s: vector<16xi32>) -> vector<16xi32> {
  %0 = gru.dot_bytes %x, %y, %s : vector<64xi8>, vector<16xi32>
  return %0 : vector<16xi32>
}

// VNNI-LABEL: func.func @four
// VNNI: "llvm.x86.avx512.vpdpbusd.128"
// PAIRS-LABEL: func.func @four
// PAIRS-COUNT-2: "llvm.x86.sse2.pmadd.wd"
// USDOT-LABEL: func.func @four
// USDOT: "llvm.aarch64.neon.usdot.v4i32.v16i8"(%arg2, %arg0, %arg1)
func.func @four(%x: vector<16xi8>, %y: vector<16xi8>, %s: vector<4xi32>) -> vector<4xi32> {
  %0 = gru.dot_bytes %x, %y, %s : vector<16xi8>, vector<4xi32>
  return %0 : vector<4xi32>
}

// VNNI-LABEL: func.func @odd
// VNNI-COUNT-4: arith.muli {{.*}} : vector<3xi32>
func.func @odd(%x: vector<12xi8>, %y: vector<12xi8>, %s: vector<3xi32>) -> vector<3xi32> {
  %0 = gru.dot_bytes %x, %y, %s : vector<12xi8>, vector<3xi32>
  return %0 : vector<3xi32>
}
