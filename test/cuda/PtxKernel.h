//===- PtxKernel.h - a PTX entry, read --------------------------*- C++ -*-===//

#ifndef GRU_TEST_CUDA_PTXKERNEL_H
#define GRU_TEST_CUDA_PTXKERNEL_H

#include "PtxInterpreter.h"

#include <array>
#include <cstddef>

namespace ptx {

enum class Op : uint8_t {
  Unknown,
  Bra,
  Ret,
  Barrier,
  Shuffle,
  Fence,
  Load,
  Store,
  Atom,
  Reduce,
  Mov,
  Cvta,
  Selp,
  Setp,
  Cvt,
  Add,
  Sub,
  Mul,
  Mad,
  Fma,
  Div,
  Rem,
  Min,
  Max,
  Abs,
  Neg,
  And,
  Or,
  Xor,
  Not,
  Shl,
  Shr,
  Bfe,
  Rcp,
  Sqrt,
  Copysign
};

enum class Compare : uint8_t { Eq, Ne, Lt, Le, Gt, Ge, Num, NaN };
enum class Round : uint8_t { None, Nearest, Down, Up, Zero };

/// Words between dots that change what an instruction does.
enum Flag : uint16_t {
  Shared = 1,
  Wide = 2,
  High = 4,
  NaNs = 8,      ///< min and max hand on NaNs.
  Addition = 16, ///< Of an atom.
  Acquires = 32,
  Releases = 64,
  Unordered = 128, ///< A comparison that holds for NaNs.
  Butterfly = 256
};

enum class Kind : uint8_t {
  None,
  Register,
  Immediate,
  TidX,
  CtaidX,
  NctaidX,
  NtidX,
  Parameter,
  Shared,
  Label
};

struct Operand {
  Kind kind = Kind::None;
  uint32_t index = 0; ///< Register, parameter or label.
  uint64_t value = 0; ///< Immediate, or offset of an address.
};

/// Type letters as PTX has them: u, s, b, f or p (predicate).
struct Type {
  char letter = 'b';
  uint8_t bits = 32;
};

struct Instruction {
  Op op = Op::Unknown;
  Type type, from; ///< The last type, and the source's of a cvt.
  Compare compare = Compare::Eq;
  Round round = Round::None;
  uint8_t vector = 1, numOperands = 0;
  uint16_t flags = 0;
  bool negated = false;
  int32_t predicate = -1;
  std::array<Operand, 6> operands;
  uint32_t line = 0; ///< In the texts of the kernel.

  bool has(Flag flag) const { return flags & flag; }
};

class Kernel {
public:
  std::vector<Instruction> code;
  std::vector<std::string> texts;
  std::vector<size_t> labels; ///< Position in the code.
  std::vector<Type> parameters;
  size_t registers = 0;
  size_t sharedBytes = 0; ///< Of the module; what a launch adds lies behind.
  int mostThreads = 1024;
};

} // namespace ptx

#endif // GRU_TEST_CUDA_PTXKERNEL_H
