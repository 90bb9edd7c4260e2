//===- PtxParser.cpp - reads PTX ------------------------------------------===//

#include "PtxKernel.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

using namespace ptx;

void KernelDeleter::operator()(Kernel *kernel) const { delete kernel; }

int ptx::mostThreads(const Kernel &kernel) { return kernel.mostThreads; }

std::string ptx::checkHeader(const std::string &text) {
  std::istringstream words(text.substr(0, text.find(".entry")));
  std::string word, version, target, bits;
  while (words >> word) {
    if (word == ".version")
      words >> version;
    else if (word == ".target")
      words >> target;
    else if (word == ".address_size")
      words >> bits;
  }
  // What a driver of 2022 takes, for a device that has come since 2020.
  if (version.empty() || std::stod(version) > 7.8)
    return "line 1; fatal : unsupported .version '" + version + "'";
  if (target.rfind("sm_", 0) != 0 || std::stoi(target.substr(3)) > 80)
    return "line 2; fatal : SM version '" + target +
           "' is higher than the device's";
  if (bits != "64")
    return "line 3; fatal : .address_size is '" + bits + "'";
  return "";
}

namespace {

const std::map<std::string, Op> opcodes = {
    {"bra", Op::Bra},      {"ret", Op::Ret},          {"exit", Op::Ret},
    {"bar", Op::Barrier},  {"barrier", Op::Barrier},  {"shfl", Op::Shuffle},
    {"membar", Op::Fence}, {"fence", Op::Fence},      {"ld", Op::Load},
    {"st", Op::Store},     {"atom", Op::Atom},        {"red", Op::Reduce},
    {"mov", Op::Mov},      {"cvta", Op::Cvta},        {"selp", Op::Selp},
    {"setp", Op::Setp},    {"cvt", Op::Cvt},          {"add", Op::Add},
    {"sub", Op::Sub},      {"mul", Op::Mul},          {"mad", Op::Mad},
    {"fma", Op::Fma},      {"div", Op::Div},          {"rem", Op::Rem},
    {"min", Op::Min},      {"max", Op::Max},          {"abs", Op::Abs},
    {"neg", Op::Neg},      {"and", Op::And},          {"or", Op::Or},
    {"xor", Op::Xor},      {"not", Op::Not},          {"shl", Op::Shl},
    {"shr", Op::Shr},      {"bfe", Op::Bfe},          {"rcp", Op::Rcp},
    {"sqrt", Op::Sqrt},    {"copysign", Op::Copysign}};

const std::map<std::string, Flag> flags = {
    {"shared", Flag::Shared},    {"wide", Flag::Wide},
    {"hi", Flag::High},          {"NaN", Flag::NaNs},
    {"add", Flag::Addition},     {"acquire", Flag::Acquires},
    {"release", Flag::Releases}, {"bfly", Flag::Butterfly}};

const std::map<std::string, Round> rounds = {{"rni", Round::Nearest},
                                             {"rn", Round::Nearest},
                                             {"rmi", Round::Down},
                                             {"rpi", Round::Up},
                                             {"rzi", Round::Zero}};

const std::map<std::string, std::pair<Compare, bool>> comparisons = {
    {"eq", {Compare::Eq, false}},   {"equ", {Compare::Eq, true}},
    {"ne", {Compare::Ne, false}},   {"neu", {Compare::Ne, true}},
    {"lt", {Compare::Lt, false}},   {"ltu", {Compare::Lt, true}},
    {"lo", {Compare::Lt, false}},   {"le", {Compare::Le, false}},
    {"leu", {Compare::Le, true}},   {"ls", {Compare::Le, false}},
    {"gt", {Compare::Gt, false}},   {"gtu", {Compare::Gt, true}},
    {"hi", {Compare::Gt, false}},   {"ge", {Compare::Ge, false}},
    {"geu", {Compare::Ge, true}},   {"hs", {Compare::Ge, false}},
    {"num", {Compare::Num, false}}, {"nan", {Compare::NaN, true}}};

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
  type = {text[0], uint8_t(std::stoi(text.substr(1)))};
  return true;
}

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
    readShared();
    readHead(text.substr(begin, open - begin));
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

  /// Lines like `.shared .align 16 .b8 name[8192];`, inside entries or before
  /// them.
  void readShared() {
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
      line.erase(0, line.find_first_not_of(" \t"));
      size_t at = line.find(".b8 "), open = line.find('[');
      if (line.rfind(".shared", 0) || at == std::string::npos ||
          open == std::string::npos)
        continue;
      shared[line.substr(at + 4, open - at - 4)] = kernel->sharedBytes;
      kernel->sharedBytes +=
          (std::stoull(line.substr(open + 1)) + 15) / 16 * 16;
    }
  }

  /// Parameters, and how many threads a block may have.
  void readHead(const std::string &list) {
    std::istringstream words(list);
    std::string word;
    Type type;
    while (words >> word) {
      if (word == ".maxntid")
        words >> kernel->mostThreads;
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
        uint32_t label = numberOf(labels, line.substr(0, line.size() - 1));
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
    instruction.line = uint32_t(kernel->texts.size());
    kernel->texts.push_back(line);
    if (line[0] == '@') {
      instruction.negated = line[1] == '!';
      size_t space = line.find_first_of(" \t"),
             begin = instruction.negated ? 2 : 1;
      instruction.predicate =
          int32_t(numberOf(registers, line.substr(begin, space - begin)));
      line = line.substr(line.find_first_not_of(" \t", space));
    }
    size_t space = std::min(line.find_first_of(" \t"), line.size());
    readWords(line.substr(0, space), instruction);
    // Braces group the registers of a vector; the order says as much.
    std::string rest = line.substr(space), word;
    std::replace_if(
        rest.begin(), rest.end(),
        [](char c) { return std::strchr("{}|,", c) != nullptr; }, ' ');
    std::istringstream operands(rest);
    while (operands >> word) {
      if (instruction.numOperands == instruction.operands.size())
        return fail("more operands than are known: " + line);
      instruction.operands[instruction.numOperands++] = readOperand(word);
    }
    kernel->code.push_back(instruction);
  }

  /// The opcode and the words behind it.
  static void readWords(const std::string &text, Instruction &instruction) {
    std::istringstream dots(text);
    std::string word;
    std::getline(dots, word, '.');
    if (auto it = opcodes.find(word); it != opcodes.end())
      instruction.op = it->second;
    bool typed = false, inBlock = false;
    while (std::getline(dots, word, '.')) {
      Type type;
      if (parseType(word, type)) {
        (typed ? instruction.from : instruction.type) = type;
        if (!typed)
          instruction.from = type;
        typed = true;
        continue;
      }
      if (word == "v2" || word == "v4")
        instruction.vector = uint8_t(word[1] - '0');
      inBlock |= word == "cta";
      if (word == "acq_rel" || word == "sc" || word == "gl")
        instruction.flags |= Flag::Acquires | Flag::Releases;
      if (auto it = rounds.find(word); it != rounds.end())
        instruction.round = it->second;
      if (instruction.op == Op::Setp) {
        if (auto it = comparisons.find(word); it != comparisons.end()) {
          instruction.compare = it->second.first;
          instruction.flags |= it->second.second ? Flag::Unordered : 0;
        }
      } else if (auto it = flags.find(word); it != flags.end()) {
        instruction.flags |= it->second;
      }
    }
    // Such an order means nothing to other blocks.
    if (inBlock)
      instruction.flags &= ~(Flag::Acquires | Flag::Releases);
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
    static const std::map<std::string, Kind> specials = {
        {"%tid.x", Kind::TidX},
        {"%ctaid.x", Kind::CtaidX},
        {"%nctaid.x", Kind::NctaidX},
        {"%ntid.x", Kind::NtidX}};
    if (auto it = specials.find(word); it != specials.end())
      return {it->second, 0, 0};
    if (word[0] == '%')
      return {Kind::Register, numberOf(registers, word), offset};
    if (word[0] == '$')
      return {Kind::Label, numberOf(labels, word), 0};
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

  using Numbers = std::map<std::string, uint32_t>;
  static uint32_t numberOf(Numbers &numbers, const std::string &name) {
    return numbers.try_emplace(name, numbers.size()).first->second;
  }

  const std::string &text;
  const std::string &name;
  std::string problem;
  Kernel *kernel = nullptr;
  Numbers registers, labels, parameters;
  std::map<std::string, uint64_t> shared;
};
} // namespace

KernelPtr ptx::parse(const std::string &text, const std::string &name,
                     std::string &problem) {
  return Parser(text, name).run(problem);
}

std::vector<uint64_t> ptx::readArguments(const Kernel &kernel,
                                         void **arguments) {
  std::vector<uint64_t> values(kernel.parameters.size());
  for (size_t i = 0; i < values.size(); ++i)
    std::memcpy(&values[i], arguments[i], kernel.parameters[i].bits / 8);
  return values;
}
