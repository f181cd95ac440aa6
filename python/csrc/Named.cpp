// torch.ops.strobe.NAME for every Generator that is linked in: its tensors, then its scalars, give its outputs.

#include "Named.h"

#include "Calls.h"
#include "driver/Instance.h"
#include "execute/PackageCache.h"
#include "support/Error.h"

#include <nlohmann/json.hpp>
#include <torch/csrc/stable/library.h>

#include <set>
#include <utility>

namespace strobe {

namespace {

using torch::stable::Tensor;

constexpr size_t max_operators = 128;

struct Operator {
    std::string name;
    GeneratorArguments arguments;
    int64_t family = -1;  // programs of earlier calls that are told apart by what their arguments fit
};

std::vector<Operator> &operators() {
    static auto *all = new std::vector<Operator>();
    return *all;
}

/** Every size that chose the program's parameters is a constant of it, so that no call of another program fits it. */
bool tells_its_parameters(const std::string &name, const Program &program) {
    const GeneratorShape &shape = generator_shape(name);
    const std::vector<TextTensor> &tensors = program.algorithm().tensors;
    for (const auto &of : {shape.keyed, shape.valued}) {
        for (const auto &[tensor, dim] : of) {
            if (!tensors.at(size_t(tensor)).sizes.at(size_t(dim)).is_constant()) {
                return false;
            }
        }
    }
    return true;
}

std::vector<Tensor> call(const Operator &op, const std::vector<Tensor> &tensors, const std::vector<double> &scalars) {
    Call call(tensors, scalars);
    if (Program *known = find_in_family(op.family, [&](Program &p) { return call.fits(p); })) {
        return call.run(*known);
    }
    std::vector<Halide::Type> types;
    for (const Tensor &t : tensors) {
        types.push_back(type_of(t));
    }
    Program &program = program_of(use_for(op.name, types, call.input_sizes()));
    if (!call.fits(program)) {
        call.refuse(program.algorithm());
    }
    if (tells_its_parameters(op.name, program)) {
        add_to_family(op.family, program);
    }
    return call.run(program);
}

/** LibTorch calls a plain function, which must know which operator it is. */
template<size_t N>
void boxed(StableIValue *stack, uint64_t num_inputs, uint64_t num_outputs) {
    const Operator &op = operators()[N];
    const GeneratorArguments &a = op.arguments;
    std::vector<Tensor> tensors;
    std::vector<double> scalars;
    for (size_t n = 0; n < num_inputs; n++) {
        if (n < a.tensors.size()) {
            tensors.push_back(torch::stable::detail::to<Tensor>(stack[n]));
        } else {
            const bool whole = a.whole[n - a.tensors.size()];
            scalars.push_back(whole ? double(torch::stable::detail::to<int64_t>(stack[n])) :
                                      torch::stable::detail::to<double>(stack[n]));
        }
    }
    const std::vector<Tensor> outputs = call(op, tensors, scalars);
    strobe_internal_assert(outputs.size() == num_outputs);
    for (size_t n = 0; n < outputs.size(); n++) {
        stack[n] = torch::stable::detail::from(outputs[n]);
    }
}

using Boxed = void (*)(StableIValue *, uint64_t, uint64_t);

template<size_t... N>
const Boxed *boxed_table(std::index_sequence<N...>) {
    static const Boxed table[] = {&boxed<N>...};
    return table;
}

/** Python's words, which its calls cannot name, and the schema's: "lambda" becomes "lambda_". */
std::string argument_name(const std::string &name) {
    static const std::set<std::string> words = {
        "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
        "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass",
        "raise", "return", "try", "while", "with", "yield"};
    return words.count(name) ? name + "_" : name;
}

std::string schema_of(const Operator &op) {
    const GeneratorArguments &a = op.arguments;
    std::string inputs, outputs;
    for (const std::string &t : a.tensors) {
        inputs += (inputs.empty() ? "Tensor " : ", Tensor ") + argument_name(t);
    }
    for (size_t n = 0; n < a.scalars.size(); n++) {
        inputs += std::string(a.whole[n] ? ", int " : ", float ") + argument_name(a.scalars[n]);
    }
    for (size_t n = 0; n < a.outputs.size(); n++) {
        outputs += n ? ", Tensor" : "Tensor";
    }
    return op.name + "(" + inputs + ") -> " + (a.outputs.size() == 1 ? outputs : "(" + outputs + ")");
}

const std::string &name_of_type(const Halide::Type &type) {
    for (const auto &[name, known] : text_types()) {
        if (type == known) {
            return name;
        }
    }
    static const std::string none;
    return none;
}

nlohmann::json declared(const std::vector<TextTensor> &tensors) {
    nlohmann::json result = nlohmann::json::array();
    for (const TextTensor &t : tensors) {
        nlohmann::json sizes = nlohmann::json::array();
        for (const TextSize &s : t.sizes) {
            sizes.push_back(s.is_constant() ? nlohmann::json(s.constant) :
                            s.name.empty()  ? nlohmann::json() :
                                              nlohmann::json(s.name));
        }
        result.push_back({{"name", t.name}, {"type", name_of_type(t.type)}, {"sizes", sizes}});
    }
    return result;
}

}  // namespace

std::string define_named_operators() {
    if (operators().empty()) {
        for (const std::string &name : registered_algorithms()) {
            operators().push_back({name, generator_arguments(name), new_family()});
        }
        strobe_internal_assert(operators().size() <= max_operators);
        using torch::stable::detail::StableLibrary;
        const Boxed *table = boxed_table(std::make_index_sequence<max_operators>());
        // They stay for as long as the process runs.
        auto *definitions = new StableLibrary(StableLibrary::Kind::FRAGMENT, "strobe", nullptr, __FILE__, __LINE__);
        auto *host = new StableLibrary(StableLibrary::Kind::IMPL, "strobe", "CPU", __FILE__, __LINE__);
        auto *device = new StableLibrary(StableLibrary::Kind::IMPL, "strobe", "CUDA", __FILE__, __LINE__);
        for (size_t n = 0; n < operators().size(); n++) {
            const Operator &op = operators()[n];
            definitions->def(schema_of(op).c_str());
            host->impl(op.name.c_str(), table[n]);
            device->impl(op.name.c_str(), table[n]);
        }
    }
    std::string names;
    for (const Operator &op : operators()) {
        names += (names.empty() ? "" : " ") + op.name;
    }
    return names;
}

std::string named_operator_shape(const std::string &name) {
    const GeneratorShape &shape = generator_shape(name);
    nlohmann::json places = nlohmann::json::array();
    for (const auto &of : {shape.keyed, shape.valued}) {
        for (const auto &[tensor, dim] : of) {
            places.push_back({tensor, dim});
        }
    }
    return nlohmann::json{{"names", shape.names}, {"typed", shape.typed}, {"constant", places}}.dump();
}

std::string named_operator_declaration(const std::string &name, const std::string &arguments) {
    std::vector<Halide::Type> types;
    std::vector<std::vector<int64_t>> sizes;
    for (const nlohmann::json &a : nlohmann::json::parse(arguments)) {
        const auto type = text_types().find(a.at(0).get<std::string>());
        types.push_back(type == text_types().end() ? Halide::Type() : type->second);
        sizes.push_back(a.at(1).get<std::vector<int64_t>>());
    }
    const TextAlgorithm &algorithm = program_of(use_for(name, types, sizes)).algorithm();
    return nlohmann::json{{"tensors", declared(algorithm.tensors)}, {"outputs", declared(algorithm.outputs)}}.dump();
}

}  // namespace strobe
