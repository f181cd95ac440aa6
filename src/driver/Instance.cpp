#include "Instance.h"

#include "support/Error.h"
#include "support/NearestName.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using Halide::Internal::AbstractGenerator;
using Halide::Internal::ArgInfoDirection;
using Halide::Internal::GeneratorRegistry;

namespace {

/** Halide's own text, without its "Error: " and line ends. */
std::string text_of(const Halide::Error &e) {
    std::string text = e.what();
    if (text.compare(0, 7, "Error: ") == 0) {
        text.erase(0, 7);
    }
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

void set_param(AbstractGenerator &generator, const std::string &name, const std::string &value) {
    try {
        generator.set_generatorparam_value(name, value);
    } catch (const Halide::Error &e) {
        // Halide does not list a generator's parameters; these are those of strobe::Attention.
        const std::vector<std::string> common = {"dtype", "head_dim", "value_dim"};
        if (text_of(e).find("has no GeneratorParam") != std::string::npos) {
            strobe_user_error() << generator.name() << " has no parameter " << name << suggestion_for(name, common);
        }
        strobe_user_error() << "parameter " << name << " of " << generator.name() << " can't be '" << value << "': "
                            << (name == "dtype" ? "it must be bf16, fp16 or fp32"
                                : text_of(e).find("Unable to parse") != std::string::npos ? "it must be a whole number"
                                                                                          : text_of(e));
    }
}

}  // namespace

Parameter *Instance::input(const std::string &name) {
    for (Parameter &p : inputs) {
        if (p.name() == name) {
            return &p;
        }
    }
    return nullptr;
}

std::vector<Argument> Instance::arguments() const {
    std::vector<Argument> args;
    for (const Parameter &p : inputs) {
        args.emplace_back(p.name(), p.is_buffer() ? Argument::InputBuffer : Argument::InputScalar, p.type(),
                          p.dimensions(), p.get_argument_estimates());
    }
    return args;
}

std::vector<std::string> registered_algorithms() {
    std::vector<std::string> names = GeneratorRegistry::enumerate();
    std::sort(names.begin(), names.end());
    return names;
}

Instance build_algorithm(const std::string &name, const std::map<std::string, std::string> &params,
                         const Target &target) {
    const std::vector<std::string> known = registered_algorithms();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
        strobe_user_error() << "there is no algorithm " << name << suggestion_for(name, known);
    }
    Internal::AbstractGeneratorPtr generator = GeneratorRegistry::create(name, GeneratorContext(target));
    for (const auto &[param, value] : params) {
        set_param(*generator, param, value);
    }
    Instance instance;
    instance.name = name;
    try {
        instance.pipeline = generator->build_pipeline();
        for (const AbstractGenerator::ArgInfo &info : generator->arginfos()) {
            if (info.dir == ArgInfoDirection::Output) {
                continue;
            }
            for (const Parameter &p : generator->input_parameter(info.name)) {
                instance.inputs.push_back(p);
            }
        }
    } catch (const Halide::Error &e) {
        strobe_user_error() << "can't build " << name << ": " << text_of(e);
    }
    instance.outputs = instance.pipeline.outputs();
    return instance;
}

}  // namespace strobe
