//===- PtxInterpreter.cpp - runs PTX on the host, slowly ------------------===//

#include "PtxKernel.h"
#include "Unreleased.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace ptx;

namespace {

uint64_t maskOf(int bits) {
  return bits >= 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1;
}
int64_t signedOf(uint64_t value, int bits) {
  if (bits >= 64)
    return int64_t(value);
  uint64_t sign = uint64_t(1) << (bits - 1);
  value &= maskOf(bits);
  return int64_t((value ^ sign) - sign);
}
float floatOf(uint64_t value) {
  float result;
  uint32_t bits = uint32_t(value);
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}
uint64_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

enum class Wait : uint8_t { No, Barrier, Shuffle, Done };

struct Thread {
  uint64_t *registers = nullptr;
  size_t next = 0;
  Wait wait = Wait::No;
};

/// Blocks [first, first + count) of a launch of `blocks`.
class Machine {
public:
  Machine(const Kernel &kernel, unsigned blocks, unsigned threads,
          unsigned sharedBytes, const std::vector<uint64_t> &arguments,
          unsigned first, unsigned count)
      : kernel(kernel), blocks(blocks), threads(threads), arguments(arguments),
        first(first), count(count), state(size_t(count) * threads),
        registers(state.size() * kernel.registers),
        // NaNs: what is read must have been written.
        shared(size_t(count) * sharedBytes + 1, char(0xff)),
        sharedBytes(sharedBytes), unreleased(count) {
    for (size_t i = 0; i < state.size(); ++i)
      state[i].registers = registers.data() + i * kernel.registers;
  }

  std::string run() {
    for (;;) {
      bool progress = false, done = true;
      for (size_t i = 0; i < state.size(); ++i) {
        if (state[i].wait == Wait::No) {
          runSlice(i);
          progress = true;
          if (!problem.empty())
            return problem;
        }
        done &= state[i].wait == Wait::Done;
      }
      progress |= meet();
      if (!problem.empty())
        return problem;
      if (done)
        break;
      if (!progress)
        return "threads wait for each other for ever";
      if (++rounds > 5'000'000)
        return "runs too long";
    }
    for (Unreleased &stores : unreleased)
      stores.release();
    return "";
  }

private:
  /// Lets those go on who have all arrived.
  bool meet() {
    bool progress = false;
    for (unsigned i = 0; i < count; ++i) {
      Thread *begin = &state[size_t(i) * threads];
      if (std::all_of(begin, begin + threads, [](const Thread &thread) {
            return thread.wait == Wait::Barrier;
          })) {
        for (unsigned t = 0; t < threads; ++t)
          begin[t].wait = Wait::No;
        progress = true;
      }
      for (unsigned t = 0; t + 32 <= threads; t += 32)
        progress |= shuffle(begin + t);
    }
    return progress;
  }

  bool shuffle(Thread *lanes) {
    for (unsigned i = 0; i < 32; ++i)
      if (lanes[i].wait != Wait::Shuffle || lanes[i].next != lanes[0].next)
        return false;
    // shfl.sync.bfly.b32 d|p, a, b, c, members
    const Instruction &op = kernel.code[lanes[0].next - 1];
    bool withPredicate = op.numOperands == 6;
    uint64_t values[32];
    size_t source = withPredicate ? 2 : 1;
    for (unsigned i = 0; i < 32; ++i)
      values[i] = read(lanes[i], op.operands[source], 0);
    for (unsigned i = 0; i < 32; ++i) {
      unsigned other = i ^ unsigned(read(lanes[i], op.operands[source + 1], 0));
      lanes[i].registers[op.operands[0].index] = values[other & 31];
      if (withPredicate)
        lanes[i].registers[op.operands[1].index] = 1;
      lanes[i].wait = Wait::No;
    }
    return true;
  }

  /// A thread until it waits, or long enough that who spins lets others arrive.
  void runSlice(size_t id) {
    Thread &thread = state[id];
    for (int step = 0; step < 4096 && thread.wait == Wait::No; ++step)
      if (!execute(thread, id) || !problem.empty())
        return;
  }

  uint64_t read(const Thread &thread, const Operand &operand, size_t id) const {
    switch (operand.kind) {
    case Kind::Register:
      return thread.registers[operand.index] + operand.value;
    case Kind::Immediate:
    case Kind::Shared:
      return operand.value;
    case Kind::TidX:
      return id % threads;
    case Kind::CtaidX:
      return first + id / threads;
    case Kind::NctaidX:
      return blocks;
    case Kind::NtidX:
      return threads;
    default:
      return 0;
    }
  }

  /// Generic addresses are the host's; those of shared memory count from the
  /// block's own.
  char *sharedBase(size_t id) { return &shared[id / threads * sharedBytes]; }
  char *addressOf(const Instruction &op, const Thread &thread,
                  const Operand &operand, size_t id) {
    uint64_t address = read(thread, operand, id);
    if (operand.kind == Kind::Shared || op.has(Flag::Shared))
      return sharedBase(id) + address;
    return reinterpret_cast<char *>(address);
  }
  /// What the block's stores to an address wait in; null for shared memory, and
  /// where nobody else is there.
  Unreleased *unreleasedAt(const char *address, size_t id) {
    if (count == 1 ||
        (address >= shared.data() && address < shared.data() + shared.size()))
      return nullptr;
    return &unreleased[id / threads];
  }

  void fail(const Instruction &op) {
    problem = "not known: " + kernel.texts[op.line];
  }

  /// False: somebody else's turn.
  bool execute(Thread &thread, size_t id) {
    const Instruction &op = kernel.code[thread.next++];
    if (op.predicate >= 0 &&
        (thread.registers[op.predicate] & 1) == uint64_t(op.negated))
      return true;
    auto in = [&](size_t i) { return read(thread, op.operands[i], id); };
    auto out = [&](uint64_t value) {
      thread.registers[op.operands[0].index] = value & maskOf(op.type.bits);
    };
    if (op.has(Flag::Releases))
      unreleased[id / threads].release();
    switch (op.op) {
    case Op::Bra:
      thread.next = kernel.labels[op.operands[0].index];
      return true;
    case Op::Ret:
      thread.wait = Wait::Done;
      return true;
    case Op::Barrier:
      thread.wait = Wait::Barrier;
      return true;
    case Op::Shuffle:
      if (!op.has(Flag::Butterfly))
        fail(op);
      thread.wait = Wait::Shuffle;
      return true;
    case Op::Fence:
      return true;
    case Op::Load:
      load(op, thread, id);
      // Who acquires may have to wait for what others release.
      return !op.has(Flag::Acquires);
    case Op::Store:
      store(op, thread, id);
      return true;
    case Op::Atom:
    case Op::Reduce:
      add(op, thread, id, op.op == Op::Atom);
      return true;
    case Op::Mov:
      out(in(1));
      return true;
    case Op::Cvta:
      // To a generic address, from one of shared memory or of one that is
      // generic here already.
      out(op.has(Flag::Shared)
              ? reinterpret_cast<uint64_t>(sharedBase(id)) + in(1)
              : in(1));
      return true;
    case Op::Selp:
      out(in(3) & 1 ? in(1) : in(2));
      return true;
    case Op::Setp:
      // Comparisons have the type of what they compare.
      thread.registers[op.operands[0].index] = compare(op, in(1), in(2));
      return true;
    case Op::Cvt:
      convert(op, in(1), out);
      return true;
    default:
      if (op.type.letter == 'f')
        computeFloats(op, in, out);
      else
        compute(op, thread, in, out);
      return true;
    }
  }

  void add(const Instruction &op, Thread &thread, size_t id, bool result) {
    char *address = addressOf(op, thread, op.operands[result ? 1 : 0], id);
    if (!op.has(Flag::Addition) || op.type.bits != 32)
      return fail(op);
    uint32_t old;
    std::memcpy(&old, address, sizeof(old));
    uint32_t sum =
        old + uint32_t(read(thread, op.operands[result ? 2 : 1], id));
    std::memcpy(address, &sum, sizeof(sum));
    if (result)
      thread.registers[op.operands[0].index] = old;
  }

  void load(const Instruction &op, Thread &thread, size_t id) {
    int bytes = op.type.bits / 8;
    const Operand &place = op.operands[op.vector];
    if (place.kind == Kind::Parameter) {
      thread.registers[op.operands[0].index] =
          arguments[place.index] >> 8 * place.value & maskOf(op.type.bits);
      return;
    }
    const char *address = addressOf(op, thread, place, id);
    const Unreleased *own = unreleasedAt(address, id);
    for (int i = 0; i < op.vector; ++i, address += bytes) {
      uint64_t value = 0;
      std::memcpy(&value, address, bytes);
      if (own)
        own->load(address, &value, bytes);
      if (op.type.letter == 's')
        value = uint64_t(signedOf(value, op.type.bits));
      thread.registers[op.operands[i].index] = value;
    }
  }

  void store(const Instruction &op, Thread &thread, size_t id) {
    int bytes = op.type.bits / 8;
    char *address = addressOf(op, thread, op.operands[0], id);
    Unreleased *own = unreleasedAt(address, id);
    for (int i = 0; i < op.vector; ++i, address += bytes) {
      uint64_t value = read(thread, op.operands[1 + i], id);
      if (own)
        own->store(address, &value, bytes);
      else
        std::memcpy(address, &value, bytes);
    }
  }

  static bool compareNumbers(Compare how, auto a, auto b) {
    switch (how) {
    case Compare::Eq:
      return a == b;
    case Compare::Ne:
      return a != b;
    case Compare::Lt:
      return a < b;
    case Compare::Le:
      return a <= b;
    case Compare::Gt:
      return a > b;
    default:
      return a >= b;
    }
  }

  bool compare(const Instruction &op, uint64_t a, uint64_t b) {
    if (op.type.letter == 'f') {
      float x = floatOf(a), y = floatOf(b);
      if (std::isnan(x) || std::isnan(y))
        return op.has(Flag::Unordered);
      if (op.compare == Compare::Num || op.compare == Compare::NaN)
        return op.compare == Compare::Num;
      return compareNumbers(op.compare, x, y);
    }
    if (op.type.letter == 's')
      return compareNumbers(op.compare, signedOf(a, op.type.bits),
                            signedOf(b, op.type.bits));
    return compareNumbers(op.compare, a & maskOf(op.type.bits),
                          b & maskOf(op.type.bits));
  }

  static float round(Round how, float x) {
    switch (how) {
    case Round::Nearest:
      return std::nearbyint(x);
    case Round::Down:
      return std::floor(x);
    case Round::Up:
      return std::ceil(x);
    case Round::Zero:
      return std::trunc(x);
    default:
      return x;
    }
  }

  void convert(const Instruction &op, uint64_t value, auto out) {
    bool toFloat = op.type.letter == 'f', fromFloat = op.from.letter == 'f';
    if ((toFloat && op.type.bits != 32) || (fromFloat && op.from.bits != 32))
      return fail(op);
    if (fromFloat) {
      float rounded = round(op.round, floatOf(value));
      if (toFloat)
        return out(bitsOf(rounded));
      double low =
          op.type.letter == 's' ? -std::ldexp(1.0, op.type.bits - 1) : 0;
      double high = std::ldexp(1.0, op.type.bits - (op.type.letter == 's')) - 1;
      double clamped =
          std::isnan(rounded) ? 0 : std::clamp(double(rounded), low, high);
      return out(uint64_t(int64_t(clamped)));
    }
    int64_t number = op.from.letter == 's'
                         ? signedOf(value, op.from.bits)
                         : int64_t(value & maskOf(op.from.bits));
    out(toFloat ? bitsOf(float(number)) : uint64_t(number));
  }

  void computeFloats(const Instruction &op, auto in, auto out) {
    if (op.type.bits != 32)
      return fail(op);
    auto x = [&](size_t i) { return floatOf(in(i)); };
    auto pick = [&](bool smaller) {
      float a = x(1), b = x(2);
      if (std::isnan(a) || std::isnan(b))
        return op.has(Flag::NaNs) ? NAN : std::isnan(a) ? b : a;
      return smaller ? std::fmin(a, b) : std::fmax(a, b);
    };
    switch (op.op) {
    case Op::Add:
      return out(bitsOf(x(1) + x(2)));
    case Op::Sub:
      return out(bitsOf(x(1) - x(2)));
    case Op::Mul:
      return out(bitsOf(x(1) * x(2)));
    case Op::Div:
      return out(bitsOf(x(1) / x(2)));
    case Op::Fma:
      return out(bitsOf(std::fma(x(1), x(2), x(3))));
    case Op::Rcp:
      return out(bitsOf(1 / x(1)));
    case Op::Sqrt:
      return out(bitsOf(std::sqrt(x(1))));
    case Op::Neg:
      return out(in(1) ^ 0x80000000u);
    case Op::Abs:
      return out(in(1) & 0x7fffffffu);
    case Op::Copysign:
      return out((in(2) & 0x7fffffffu) | (in(1) & 0x80000000u));
    case Op::Min:
    case Op::Max:
      return out(bitsOf(pick(op.op == Op::Min)));
    default:
      return fail(op);
    }
  }

  void compute(const Instruction &op, Thread &thread, auto in, auto out) {
    int bits = op.type.bits;
    uint64_t mask = maskOf(bits);
    bool isSigned = op.type.letter == 's';
    auto a = [&] { return in(1) & mask; };
    auto b = [&] { return in(2) & mask; };
    auto product = [&](uint64_t x, uint64_t y) -> uint64_t {
      if (op.has(Flag::Wide)) // The result is twice as wide.
        return isSigned ? uint64_t(signedOf(x, bits) * signedOf(y, bits))
                        : x * y;
      if (op.has(Flag::High))
        return isSigned
                   ? uint64_t(
                         (__int128(signedOf(x, bits)) * signedOf(y, bits)) >>
                         bits)
                   : uint64_t((static_cast<unsigned __int128>(x) * y) >> bits);
      return x * y;
    };
    // The result of a wide product has twice the bits of the type.
    auto wide = [&](uint64_t value) {
      if (op.has(Flag::Wide))
        thread.registers[op.operands[0].index] = value;
      else
        out(value);
    };
    switch (op.op) {
    case Op::Add:
      return out(a() + b());
    case Op::Sub:
      return out(a() - b());
    case Op::Mul:
      return wide(product(a(), b()));
    case Op::Mad:
      return wide(product(a(), b()) + in(3));
    case Op::Div:
    case Op::Rem: {
      if (b() == 0)
        return fail(op);
      bool quotient = op.op == Op::Div;
      if (!isSigned)
        return out(quotient ? a() / b() : a() % b());
      int64_t x = signedOf(a(), bits), y = signedOf(b(), bits);
      return out(uint64_t(quotient ? x / y : x % y));
    }
    case Op::And:
      return out(a() & b());
    case Op::Or:
      return out(a() | b());
    case Op::Xor:
      return out(a() ^ b());
    case Op::Not:
      return out(~a());
    case Op::Neg:
      return out(0 - a());
    case Op::Abs:
      return out(uint64_t(std::abs(signedOf(a(), bits))));
    case Op::Shl:
      return out(in(2) >= uint64_t(bits) ? 0 : a() << in(2));
    case Op::Shr:
      return out(isSigned ? uint64_t(signedOf(a(), bits) >>
                                     std::min<uint64_t>(in(2), bits - 1))
                          : (in(2) >= uint64_t(bits) ? 0 : a() >> in(2)));
    case Op::Bfe: {
      if (isSigned)
        return fail(op);
      // `length` bits of a from bit `begin` on, both taken modulo 256.
      uint64_t begin = in(2) & 255, length = in(3) & 255;
      uint64_t shifted = begin < uint64_t(bits) ? a() >> begin : 0;
      return out(length < 64 ? shifted & ((uint64_t(1) << length) - 1)
                             : shifted);
    }
    case Op::Min:
    case Op::Max: {
      bool less =
          isSigned ? signedOf(a(), bits) < signedOf(b(), bits) : a() < b();
      return out(less == (op.op == Op::Min) ? a() : b());
    }
    default:
      return fail(op);
    }
  }

  const Kernel &kernel;
  const unsigned blocks, threads;
  const std::vector<uint64_t> &arguments;
  const unsigned first, count;
  std::vector<Thread> state;
  std::vector<uint64_t> registers;
  std::vector<char> shared;
  const size_t sharedBytes;
  std::vector<Unreleased> unreleased;
  uint64_t rounds = 0;
  std::string problem;
};
} // namespace

std::string ptx::launch(const Kernel &kernel, unsigned blocks, unsigned threads,
                        unsigned sharedBytes,
                        const std::vector<uint64_t> &arguments,
                        bool cooperative) {
  unsigned step = cooperative ? blocks : 1;
  for (unsigned first = 0; first < blocks; first += step) {
    std::string problem = Machine(kernel, blocks, threads,
                                  sharedBytes + unsigned(kernel.sharedBytes),
                                  arguments, first, step)
                              .run();
    if (!problem.empty())
      return problem;
  }
  return "";
}
