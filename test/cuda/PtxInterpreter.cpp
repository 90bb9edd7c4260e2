//===- PtxInterpreter.cpp - runs PTX on the host, slowly -------------------===//

#include "PtxInterpreter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <sstream>

using namespace ptx;

namespace {

enum class Kind { Register, Immediate, Special, Parameter, Shared, Label, None };

struct Operand {
  Kind kind = Kind::None;
  int64_t index = 0;  ///< Register, parameter, label or special register.
  uint64_t value = 0; ///< Immediate, or offset of an address.
};

/// Type letters as PTX has them: u, s, b, f or p (predicate).
struct Type {
  char letter = 'b';
  int bits = 32;
};

struct Instruction {
  std::string opcode;             ///< Up to the first dot.
  std::vector<std::string> parts; ///< Between dots, behind the opcode.
  Type type, from;                ///< The last type, and the source's of a cvt.
  int vector = 1;
  int64_t predicate = -1;
  bool negated = false;
  std::vector<Operand> operands;
  std::string text;

  bool has(const char *part) const {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  }
};

enum Special { TidX, CtaidX, NctaidX, NtidX, Zero };

bool parseType(const std::string &text, Type &type) {
  if (text == "pred") {
    type = {'p', 1};
    return true;
  }
  if (text.size() < 2 || !std::strchr("usbf", text[0]))
    return false;
  for (char c : text.substr(1))
    if (!std::isdigit(static_cast<unsigned char>(c)))
      return false;
  type = {text[0], std::stoi(text.substr(1))};
  return true;
}

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

} // namespace

class ptx::Kernel {
public:
  std::vector<Instruction> code;
  std::vector<size_t> labels; ///< Position in the code.
  std::vector<Type> parameters;
  size_t registers = 0;
  size_t sharedBytes = 0; ///< Of the module; what a launch adds lies behind.
};

void KernelDeleter::operator()(Kernel *kernel) const { delete kernel; }

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

namespace {
class Parser {
public:
  Parser(const std::string &text, const std::string &name)
      : text(text), name(name) {}

  KernelPtr run(std::string &problem) {
    KernelPtr kernel(new Kernel);
    this->kernel = kernel.get();
    size_t begin = text.find(".entry " + name + "(");
    size_t open = begin == std::string::npos ? begin : text.find('{', begin);
    size_t close = open == std::string::npos ? open : findEnd(open);
    if (close == std::string::npos) {
      problem = "no entry " + name;
      return nullptr;
    }
    readShared(text);
    readParameters(text.substr(begin, open - begin));
    readBody(text.substr(open + 1, close - open - 1));
    kernel->registers = registers.size();
    kernel->labels.resize(labels.size(), ~size_t(0));
    problem = this->problem;
    return problem.empty() ? std::move(kernel) : nullptr;
  }

private:
  size_t findEnd(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < text.size(); ++i) {
      depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
      if (depth == 0)
        return i;
    }
    return std::string::npos;
  }

  void fail(const std::string &what) {
    if (problem.empty())
      problem = what;
  }

  /// Lines like `.shared .align 16 .b8 name[8192];`, inside entries or before them.
  void readShared(const std::string &text) {
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
      line.erase(0, line.find_first_not_of(" \t"));
      size_t at = line.find(".b8 "), open = line.find('[');
      if (line.rfind(".shared", 0) || at == std::string::npos ||
          open == std::string::npos)
        continue;
      shared[line.substr(at + 4, open - at - 4)] = kernel->sharedBytes;
      kernel->sharedBytes += (std::stoull(line.substr(open + 1)) + 15) / 16 * 16;
    }
  }

  void readParameters(const std::string &list) {
    std::istringstream words(list);
    std::string word;
    Type type;
    while (words >> word) {
      if (word[0] == '.')
        parseType(word.substr(1), type);
      if (word.rfind(name + "_param_", 0) == 0) {
        parameters[word.substr(0, word.find_first_of(",)"))] =
            kernel->parameters.size();
        kernel->parameters.push_back(type);
      }
    }
  }

  void readBody(const std::string &body) {
    std::istringstream lines(body);
    std::string line;
    while (std::getline(lines, line)) {
      line = line.substr(0, line.find("//"));
      size_t begin = line.find_first_not_of(" \t");
      if (begin == std::string::npos)
        continue;
      line = line.substr(begin, line.find_last_not_of(" \t") - begin + 1);
      if (line.back() == ':') {
        int64_t label = labelOf(line.substr(0, line.size() - 1));
        kernel->labels.resize(labels.size(), ~size_t(0));
        kernel->labels[label] = kernel->code.size();
      } else if (line[0] != '.') {
        if (line.back() != ';')
          return fail("not on one line: " + line);
        line.pop_back();
        readInstruction(line);
      } else if (line.rfind(".reg", 0) && line.rfind(".pragma", 0) &&
                 line.rfind(".loc", 0) && line.rfind(".shared", 0)) {
        return fail("unknown directive: " + line);
      }
    }
  }

  void readInstruction(std::string line) {
    Instruction instruction;
    instruction.text = line;
    if (line[0] == '@') {
      instruction.negated = line[1] == '!';
      size_t space = line.find_first_of(" \t");
      instruction.predicate =
          registerOf(line.substr(instruction.negated ? 2 : 1,
                                 space - (instruction.negated ? 2 : 1)));
      line = line.substr(line.find_first_not_of(" \t", space));
    }
    size_t space = std::min(line.find_first_of(" \t"), line.size());
    std::istringstream dots(line.substr(0, space));
    std::getline(dots, instruction.opcode, '.');
    std::string part;
    bool typed = false;
    while (std::getline(dots, part, '.')) {
      Type type;
      if (parseType(part, type)) {
        if (typed)
          instruction.from = type;
        else
          instruction.type = instruction.from = type;
        typed = true;
      } else {
        if (part == "v2" || part == "v4")
          instruction.vector = part[1] - '0';
        instruction.parts.push_back(part);
      }
    }
    // Braces group the registers of a vector; the order says as much.
    std::string rest = line.substr(space);
    std::replace_if(rest.begin(), rest.end(),
                    [](char c) { return c == '{' || c == '}' || c == '|'; },
                    ' ');
    std::istringstream operands(rest);
    while (std::getline(operands, part, ','))
      if (part.find_first_not_of(" \t") != std::string::npos) {
        std::istringstream words(part);
        std::string word;
        while (words >> word)
          instruction.operands.push_back(readOperand(word));
      }
    kernel->code.push_back(std::move(instruction));
  }

  Operand readOperand(std::string word) {
    uint64_t offset = 0;
    if (word[0] == '[') {
      word = word.substr(1, word.size() - 2);
      size_t plus = word.find('+');
      if (plus != std::string::npos) {
        offset = uint64_t(std::stoll(word.substr(plus + 1)));
        word = word.substr(0, plus);
      }
    }
    static const std::map<std::string, int> specials = {
        {"%tid.x", TidX}, {"%ctaid.x", CtaidX}, {"%nctaid.x", NctaidX},
        {"%ntid.x", NtidX}};
    if (auto it = specials.find(word); it != specials.end())
      return {Kind::Special, it->second, 0};
    if (word[0] == '%')
      return {Kind::Register, registerOf(word), offset};
    if (word[0] == '$')
      return {Kind::Label, labelOf(word), 0};
    if (word.rfind("0f", 0) == 0 || word.rfind("0F", 0) == 0)
      return {Kind::Immediate, 0, std::stoull(word.substr(2), nullptr, 16)};
    if (std::isdigit(static_cast<unsigned char>(word[0])) || word[0] == '-')
      return {Kind::Immediate, 0,
              word[0] == '-' ? uint64_t(std::stoll(word))
                             : std::stoull(word, nullptr, 0)};
    if (auto it = parameters.find(word); it != parameters.end())
      return {Kind::Parameter, it->second, offset};
    if (auto it = shared.find(word); it != shared.end())
      return {Kind::Shared, 0, offset + it->second};
    if (word == "gru_shared")
      return {Kind::Shared, 0, offset + kernel->sharedBytes};
    if (word == "true" || word == "false")
      return {Kind::Immediate, 0, word == "true"};
    fail("unknown operand " + word);
    return {};
  }

  int64_t registerOf(const std::string &name) {
    return registers.try_emplace(name, registers.size()).first->second;
  }
  int64_t labelOf(const std::string &name) {
    return labels.try_emplace(name, labels.size()).first->second;
  }

  const std::string &text;
  const std::string &name;
  std::string problem;
  Kernel *kernel = nullptr;
  std::map<std::string, int64_t> registers, labels, parameters, shared;
};
} // namespace

KernelPtr ptx::parse(const std::string &text, const std::string &name,
                     std::string &problem) {
  return Parser(text, name).run(problem);
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
enum class Wait { No, Barrier, Shuffle, Done };

struct Thread {
  std::vector<uint64_t> registers;
  size_t next = 0;
  Wait wait = Wait::No;
};

class Machine {
public:
  Machine(const Kernel &kernel, unsigned blocks, unsigned threads,
          unsigned sharedBytes, void **arguments)
      : kernel(kernel), blocks(blocks), threads(threads), arguments(arguments),
        state(size_t(blocks) * threads),
        // NaNs: what is read must have been written.
        shared(size_t(blocks) * sharedBytes + 1, char(0xff)),
        sharedBytes(sharedBytes) {
    for (Thread &thread : state)
      thread.registers.resize(kernel.registers);
  }

  std::string run() {
    for (;;) {
      bool progress = false, done = true;
      for (size_t i = 0; i < state.size(); ++i) {
        // A slice each, so that who spins lets the others arrive.
        for (int step = 0; step < 256 && state[i].wait == Wait::No; ++step) {
          execute(i);
          progress = true;
          if (!problem.empty())
            return problem;
        }
        done &= state[i].wait == Wait::Done;
      }
      if (done)
        return "";
      progress |= meet();
      if (!problem.empty())
        return problem;
      if (!progress)
        return "threads wait for each other for ever";
      if (++rounds > 50'000'000)
        return "runs too long";
    }
  }

private:
  /// Lets those go on who have all arrived.
  bool meet() {
    bool progress = false;
    for (unsigned block = 0; block < blocks; ++block) {
      Thread *begin = &state[size_t(block) * threads];
      if (std::all_of(begin, begin + threads, [](const Thread &thread) {
            return thread.wait == Wait::Barrier;
          })) {
        for (unsigned i = 0; i < threads; ++i)
          begin[i].wait = Wait::No;
        progress = true;
      }
      for (unsigned first = 0; first < threads; first += 32)
        progress |= shuffle(begin + first);
    }
    return progress;
  }

  bool shuffle(Thread *lanes) {
    for (unsigned i = 0; i < 32; ++i)
      if (lanes[i].wait != Wait::Shuffle || lanes[i].next != lanes[0].next)
        return false;
    // shfl.sync.bfly.b32 d|p, a, b, c, members
    const Instruction &op = kernel.code[lanes[0].next - 1];
    bool withPredicate = op.operands.size() == 6;
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

  uint64_t read(const Thread &thread, const Operand &operand, size_t id) const {
    switch (operand.kind) {
    case Kind::Register:
      return thread.registers[operand.index] + operand.value;
    case Kind::Immediate:
      return operand.value;
    case Kind::Shared:
      return operand.value;
    case Kind::Special:
      switch (operand.index) {
      case TidX:
        return id % threads;
      case CtaidX:
        return id / threads;
      case NctaidX:
        return blocks;
      default:
        return threads;
      }
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
    if (operand.kind == Kind::Shared || op.has("shared"))
      return sharedBase(id) + address;
    return reinterpret_cast<char *>(address);
  }

  void fail(const Instruction &op) { problem = "not known: " + op.text; }

  void execute(size_t id) {
    Thread &thread = state[id];
    current = &thread;
    const Instruction &op = kernel.code[thread.next++];
    if (op.predicate >= 0 &&
        (thread.registers[op.predicate] & 1) == uint64_t(op.negated))
      return;
    auto in = [&](size_t i) { return read(thread, op.operands[i], id); };
    auto out = [&](uint64_t value) {
      thread.registers[op.operands[0].index] =
          op.type.letter == 'p' ? value & 1 : value & maskOf(op.type.bits);
    };
    const std::string &name = op.opcode;
    if (name == "bra") {
      thread.next = kernel.labels[op.operands[0].index];
    } else if (name == "ret" || name == "exit") {
      thread.wait = Wait::Done;
    } else if (name == "bar" || name == "barrier") {
      thread.wait = Wait::Barrier;
    } else if (name == "shfl") {
      thread.wait = Wait::Shuffle;
    } else if (name == "membar" || name == "fence") {
      // One host thread runs everything.
    } else if (name == "ld" || name == "st") {
      access(op, thread, id, name == "ld");
    } else if (name == "atom" || name == "red") {
      bool result = name == "atom";
      char *address = addressOf(op, thread, op.operands[result ? 1 : 0], id);
      uint32_t old;
      std::memcpy(&old, address, sizeof(old));
      uint32_t sum = old + uint32_t(in(result ? 2 : 1));
      if (!op.has("add") || op.type.bits != 32)
        return fail(op);
      std::memcpy(address, &sum, sizeof(sum));
      if (result)
        out(old);
    } else if (name == "mov") {
      out(in(1));
    } else if (name == "cvta") {
      // To a generic address, from one of shared memory or of one that is
      // generic here already.
      if (op.has("shared"))
        out(reinterpret_cast<uint64_t>(sharedBase(id)) + in(1));
      else
        out(in(1));
    } else if (name == "selp") {
      out(in(3) & 1 ? in(1) : in(2));
    } else if (name == "setp") {
      // Comparisons have the type of what they compare.
      thread.registers[op.operands[0].index] = compare(op, in(1), in(2));
    } else if (name == "cvt") {
      convert(op, in(1), out);
    } else if (op.type.letter == 'f') {
      arithmeticOnFloats(op, in, out);
    } else {
      arithmetic(op, in, out);
    }
  }

  void access(const Instruction &op, Thread &thread, size_t id, bool load) {
    int bytes = op.type.bits / 8;
    size_t addressAt = load ? op.vector : 0;
    const Operand &place = op.operands[addressAt];
    if (place.kind == Kind::Parameter) {
      uint64_t value = 0;
      std::memcpy(&value,
                  static_cast<char *>(arguments[place.index]) + place.value,
                  bytes);
      thread.registers[op.operands[0].index] = value;
      return;
    }
    char *address = addressOf(op, thread, place, id);
    for (int i = 0; i < op.vector; ++i) {
      const Operand &element = op.operands[load ? i : 1 + i];
      uint64_t value = load ? 0 : read(thread, element, id);
      if (load) {
        std::memcpy(&value, address + i * bytes, bytes);
        if (op.type.letter == 's')
          value = uint64_t(signedOf(value, op.type.bits));
        thread.registers[element.index] = value;
      } else {
        std::memcpy(address + i * bytes, &value, bytes);
      }
    }
  }

  static bool compareNumbers(const std::string &how, auto a, auto b) {
    if (how == "eq" || how == "equ")
      return a == b;
    if (how == "ne" || how == "neu")
      return a != b;
    if (how == "lt" || how == "lo" || how == "ltu")
      return a < b;
    if (how == "le" || how == "ls" || how == "leu")
      return a <= b;
    if (how == "gt" || how == "hi" || how == "gtu")
      return a > b;
    return a >= b;
  }

  bool compare(const Instruction &op, uint64_t a, uint64_t b) {
    const std::string &how = op.parts[0];
    if (op.type.letter == 'f') {
      float x = floatOf(a), y = floatOf(b);
      bool unordered = std::isnan(x) || std::isnan(y);
      if (how == "nan" || how == "num")
        return unordered == (how == "nan");
      if (unordered)
        return how.back() == 'u';
      return compareNumbers(how, x, y);
    }
    if (op.type.letter == 's')
      return compareNumbers(how, signedOf(a, op.type.bits),
                            signedOf(b, op.type.bits));
    return compareNumbers(how, a & maskOf(op.type.bits),
                          b & maskOf(op.type.bits));
  }

  void convert(const Instruction &op, uint64_t value, auto out) {
    bool toFloat = op.type.letter == 'f', fromFloat = op.from.letter == 'f';
    if ((toFloat && op.type.bits != 32) || (fromFloat && op.from.bits != 32))
      return fail(op);
    if (fromFloat) {
      float x = floatOf(value);
      float rounded = op.has("rni") || op.has("rn")
                          ? (toFloat && !op.has("rni") ? x : std::nearbyint(x))
                      : op.has("rmi") ? std::floor(x)
                      : op.has("rpi") ? std::ceil(x)
                      : op.has("rzi") ? std::trunc(x)
                                      : x;
      if (toFloat)
        return out(bitsOf(rounded));
      double low = op.type.letter == 's' ? -std::ldexp(1.0, op.type.bits - 1) : 0;
      double high = std::ldexp(1.0, op.type.bits - (op.type.letter == 's')) - 1;
      double clamped = std::isnan(rounded)
                           ? 0
                           : std::clamp(double(rounded), low, high);
      return out(uint64_t(int64_t(clamped)));
    }
    int64_t number = op.from.letter == 's'
                         ? signedOf(value, op.from.bits)
                         : int64_t(value & maskOf(op.from.bits));
    out(toFloat ? bitsOf(float(number)) : uint64_t(number));
  }

  void arithmeticOnFloats(const Instruction &op, auto in, auto out) {
    if (op.type.bits != 32)
      return fail(op);
    const std::string &name = op.opcode;
    auto x = [&](size_t i) { return floatOf(in(i)); };
    bool nan = op.has("NaN");
    auto pick = [&](bool smaller) {
      float a = x(1), b = x(2);
      if (std::isnan(a) || std::isnan(b))
        return nan ? NAN : std::isnan(a) ? b : a;
      return smaller ? std::fmin(a, b) : std::fmax(a, b);
    };
    if (name == "add")
      out(bitsOf(x(1) + x(2)));
    else if (name == "sub")
      out(bitsOf(x(1) - x(2)));
    else if (name == "mul")
      out(bitsOf(x(1) * x(2)));
    else if (name == "div")
      out(bitsOf(x(1) / x(2)));
    else if (name == "fma")
      out(bitsOf(std::fma(x(1), x(2), x(3))));
    else if (name == "rcp")
      out(bitsOf(1 / x(1)));
    else if (name == "sqrt")
      out(bitsOf(std::sqrt(x(1))));
    else if (name == "neg")
      out(in(1) ^ 0x80000000u);
    else if (name == "abs")
      out(in(1) & 0x7fffffffu);
    else if (name == "copysign")
      out((in(2) & 0x7fffffffu) | (in(1) & 0x80000000u));
    else if (name == "min" || name == "max")
      out(bitsOf(pick(name == "min")));
    else
      fail(op);
  }

  void arithmetic(const Instruction &op, auto in, auto out) {
    const std::string &name = op.opcode;
    int bits = op.type.bits;
    uint64_t mask = op.type.letter == 'p' ? 1 : maskOf(bits);
    bool isSigned = op.type.letter == 's';
    auto a = [&] { return in(1) & mask; };
    auto b = [&] { return in(2) & mask; };
    auto product = [&](uint64_t x, uint64_t y) -> uint64_t {
      if (op.has("wide")) // The result is twice as wide.
        return isSigned ? uint64_t(signedOf(x, bits) * signedOf(y, bits))
                        : x * y;
      if (op.has("hi"))
        return isSigned
                   ? uint64_t((__int128(signedOf(x, bits)) * signedOf(y, bits)) >>
                              bits)
                   : uint64_t((static_cast<unsigned __int128>(x) * y) >> bits);
      return x * y;
    };
    if (name == "add")
      out(a() + b());
    else if (name == "sub")
      out(a() - b());
    else if (name == "mul")
      wide(op, product(a(), b()), out);
    else if (name == "mad")
      wide(op, product(a(), b()) + in(3), out);
    else if (name == "div" && b() != 0)
      out(isSigned ? uint64_t(signedOf(a(), bits) / signedOf(b(), bits))
                   : a() / b());
    else if (name == "rem" && b() != 0)
      out(isSigned ? uint64_t(signedOf(a(), bits) % signedOf(b(), bits))
                   : a() % b());
    else if (name == "and")
      out(a() & b());
    else if (name == "or")
      out(a() | b());
    else if (name == "xor")
      out(a() ^ b());
    else if (name == "not")
      out(~a());
    else if (name == "neg")
      out(0 - a());
    else if (name == "abs")
      out(uint64_t(std::abs(signedOf(a(), bits))));
    else if (name == "shl")
      out(in(2) >= uint64_t(bits) ? 0 : a() << in(2));
    else if (name == "shr")
      out(isSigned ? uint64_t(signedOf(a(), bits) >>
                              std::min<uint64_t>(in(2), bits - 1))
                   : (in(2) >= uint64_t(bits) ? 0 : a() >> in(2)));
    else if (name == "bfe" && !isSigned) {
      // `length` bits of a from bit `begin` on, both taken modulo 256.
      uint64_t begin = in(2) & 255, length = in(3) & 255;
      uint64_t shifted = begin < uint64_t(bits) ? a() >> begin : 0;
      out(length < 64 ? shifted & ((uint64_t(1) << length) - 1) : shifted);
    } else if (name == "min" || name == "max") {
      bool less = isSigned ? signedOf(a(), bits) < signedOf(b(), bits)
                           : a() < b();
      out(less == (name == "min") ? a() : b());
    } else
      fail(op);
  }

  /// The result of a wide product has twice the bits of the type.
  void wide(const Instruction &op, uint64_t value, auto out) {
    if (op.has("wide"))
      current->registers[op.operands[0].index] = value;
    else
      out(value);
  }

  const Kernel &kernel;
  const unsigned blocks, threads;
  void **const arguments;
  std::vector<Thread> state;
  std::vector<char> shared;
  const size_t sharedBytes;
  uint64_t rounds = 0;
  std::string problem;
  Thread *current = nullptr;
};
} // namespace

std::string ptx::launch(const Kernel &kernel, unsigned blocks, unsigned threads,
                        unsigned sharedBytes, void **arguments) {
  return Machine(kernel, blocks, threads,
                 sharedBytes + unsigned(kernel.sharedBytes), arguments)
      .run();
}
