#include "GeneratorAlgorithm.h"

#include "PackageCache.h"
#include "algorithm/ReadAlgorithm.h"
#include "driver/Instance.h"
#include "support/Error.h"

#include <algorithm>
#include <mutex>
#include <sstream>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Dimensions of inputs, and what the algorithm indexes them with. */
class FindIndices : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    void visit(const Call *op) override {
        if (op->call_type == Call::Image && op->param.defined()) {
            for (size_t d = 0; d < op->args.size(); d++) {
                indices.push_back({op->param.name(), d, op->args[d]});
            }
        }
        IRGraphVisitor::visit(op);
    }

public:
    struct Index {
        std::string input;
        size_t dim;
        Expr value;
    };
    std::vector<Index> indices;

    explicit FindIndices(const ReductionGraph &graph) {
        const auto add = [&](const Expr &e) {
            if (e.defined()) {
                e.accept(this);
            }
        };
        for (const Reduction &r : graph.reductions) {
            add(r.body);
            add(r.init);
        }
        for (const Output &o : graph.outputs) {
            add(o.value);
        }
    }
};

std::optional<int64_t> constant(const Expr &e) {
    return e.defined() ? as_const_int(simplify(e)) : std::nullopt;
}

std::optional<double> number(const Expr &e) {
    if (!e.defined()) {
        return std::nullopt;
    }
    const Expr value = simplify(cast<double>(e));
    return as_const_float(value);
}

/** A name that Halide may have made unique: "out$1" is out. */
std::string plain(const std::string &name) {
    return name.substr(0, name.find_first_of("$."));
}

class Describer {
    const ReductionGraph graph;
    TextAlgorithm result;
    std::map<std::string, TextSize> axis_sizes;

    size_t tensor_of(const std::string &input) const {
        for (size_t n = 0; n < result.tensors.size(); n++) {
            if (result.tensors[n].name == input) {
                return n;
            }
        }
        strobe_internal_assert(false) << "no input " << input;
        return 0;
    }

    void declare_inputs(const Instance &instance) {
        for (const bool buffers : {true, false}) {
            for (const Parameter &p : instance.inputs) {
                if (p.is_buffer() != buffers) {
                    continue;
                }
                result.parameters.push_back(p);
                if (!buffers) {
                    result.scalars.push_back({p.name(), p.type(), number(p.min_value()), number(p.max_value())});
                    continue;
                }
                TextTensor t{p.name(), p.type(), {}};
                for (int d = 0; d < p.dimensions(); d++) {
                    const auto extent = constant(p.extent_constraint(d));
                    t.sizes.push_back(TextSize{extent ? *extent : -1, ""});
                }
                result.tensors.push_back(t);
            }
        }
    }

    /** An axis that is the index of a dimension gives it its size, or takes the one that is declared. */
    void name_sizes(const std::vector<FindIndices::Index> &indices) {
        for (const FindIndices::Index &index : indices) {
            const Variable *v = index.value.as<Variable>();
            if (!v || std::none_of(graph.axes.begin(), graph.axes.end(), [&](const Axis &a) { return a.name == v->name; })) {
                continue;
            }
            TextSize &size = result.tensors[tensor_of(index.input)].sizes[index.dim];
            TextSize &axis = axis_sizes.emplace(v->name, TextSize{-1, v->name}).first->second;
            if (size.is_constant()) {
                axis = size;
            } else if (size.name.empty()) {
                size.name = v->name;
            }
        }
    }

    /** A dimension under a quotient of an axis by its own size, as heads are shared, divides that axis' size. */
    void require_multiples(const std::vector<FindIndices::Index> &indices) {
        for (const FindIndices::Index &index : indices) {
            const std::string own = index.input + ".extent." + std::to_string(index.dim);
            TextSize &size = result.tensors[tensor_of(index.input)].sizes[index.dim];
            const Div *quotient = index.value.as<Div>();
            const Variable *axis = quotient ? quotient->a.as<Variable>() : nullptr;
            const auto of_axis = axis ? axis_sizes.find(axis->name) : axis_sizes.end();
            if (of_axis == axis_sizes.end() || of_axis->second.name.empty() || size.is_constant() ||
                !expr_uses_var(quotient->b, own)) {
                continue;
            }
            size.name = size.name.empty() ? index.input + "_n" + std::to_string(index.dim) : size.name;
            TextRequirement r;
            r.kind = TextRequirement::Kind::MultipleOf;
            r.name = of_axis->second.name;
            r.divisor = size.name;
            result.requirements.push_back(r);
        }
    }

    void declare_outputs(const Instance &instance) {
        size_t n = 0;
        for (const Func &f : instance.outputs) {
            for (const Type &type : f.types()) {
                const Output &o = graph.outputs.at(n++);
                TextTensor t{plain(f.name()), type, {}};
                for (const std::string &axis : o.axes) {
                    const auto found = axis_sizes.find(axis);
                    if (found == axis_sizes.end()) {
                        strobe_user_error() << "In " << instance.name << ": no input has a dimension that says how many "
                                            << axis << " the output " << t.name << " has";
                    }
                    t.sizes.push_back(found->second);
                }
                result.outputs.push_back(t);
            }
            result.funcs.push_back(f);
        }
    }

public:
    explicit Describer(const Instance &instance)
        : graph(read_algorithm(instance.outputs)) {
        result.name = instance.name;
        declare_inputs(instance);
        const std::vector<FindIndices::Index> indices = FindIndices(graph).indices;
        name_sizes(indices);
        name_sizes(indices);  // an axis may meet its constant last
        require_multiples(indices);
        declare_outputs(instance);
        result.pipeline = instance.pipeline;
    }
    TextAlgorithm take() {
        return std::move(result);
    }
};

struct Kind {
    const char *name;
    Type type;
};
const Kind kinds[] = {{"bf16", BFloat(16)}, {"fp16", Float(16)}, {"fp32", Float(32)}};

constexpr int probe_head = 32, probe_value = 48;

std::map<std::string, std::string> params(const char *dtype, int64_t head, int64_t value) {
    return {{"dtype", dtype}, {"head_dim", std::to_string(head)}, {"value_dim", std::to_string(value)}};
}

}  // namespace

std::string GeneratorUse::key() const {
    std::string key = "generator " + name;
    for (const auto &[param, value] : params) {
        key += " " + param + "=" + value;
    }
    return key;
}

GeneratorUse read_generator_use(const std::string &text) {
    std::istringstream words(text);
    GeneratorUse use;
    words >> use.name;
    for (std::string word; words >> word;) {
        const size_t equal = word.find('=');
        if (equal == std::string::npos) {
            strobe_user_error() << "'" << word << "' is no parameter of " << use.name << "; write name=value";
        }
        use.params[word.substr(0, equal)] = word.substr(equal + 1);
    }
    // As use_for() writes them, so that both find the same kernels.
    use.params.emplace("dtype", "bf16");
    const std::string &head = use.params.emplace("head_dim", "64").first->second;
    use.params.emplace("value_dim", head);
    return use;
}

GeneratorArguments generator_arguments(const std::string &name) {
    const AbstractGeneratorPtr generator =
        GeneratorRegistry::create(name, GeneratorContext(get_host_target()));
    strobe_user_assert(generator != nullptr) << "there is no algorithm " << name;
    GeneratorArguments a;
    for (const AbstractGenerator::ArgInfo &info : generator->arginfos()) {
        if (info.dir == ArgInfoDirection::Output) {
            a.outputs.push_back(info.name);
        } else if (info.kind == ArgInfoKind::Scalar) {
            a.scalars.push_back(info.name);
            a.whole.push_back(!info.types.empty() && !info.types[0].is_float());
        } else {
            a.tensors.push_back(info.name);
        }
    }
    return a;
}

TextAlgorithm generator_algorithm(const GeneratorUse &use) {
    try {
        return Describer(build_algorithm(use.name, use.params, get_host_target())).take();
    } catch (const Halide::Error &e) {
        strobe_user_error() << "In " << use.name << ": " << e.what();
    }
}

const GeneratorShape &generator_shape(const std::string &name) {
    static std::mutex mutex;
    static std::map<std::string, GeneratorShape> known;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = known.find(name);
    if (found != known.end()) {
        return found->second;
    }
    const std::lock_guard<std::mutex> turn(compiler_mutex());
    const TextAlgorithm a = generator_algorithm({name, params("fp16", probe_head, probe_value)});
    GeneratorShape shape;
    for (size_t t = 0; t < a.tensors.size(); t++) {
        shape.names.push_back(a.tensors[t].name);
        shape.typed.push_back(a.tensors[t].type == Float(16));
        for (size_t d = 0; d < a.tensors[t].sizes.size(); d++) {
            const int64_t size = a.tensors[t].sizes[d].constant;
            if (size == probe_head) {
                shape.keyed.emplace_back(t, d);
            } else if (size == probe_value) {
                shape.valued.emplace_back(t, d);
            }
        }
    }
    return known[name] = shape;
}

GeneratorUse use_for(const std::string &name, const std::vector<Type> &types,
                     const std::vector<std::vector<int64_t>> &sizes) {
    const GeneratorShape &shape = generator_shape(name);
    const char *dtype = "fp32";
    const auto first = size_t(std::find(shape.typed.begin(), shape.typed.end(), true) - shape.typed.begin());
    if (first < types.size()) {
        const Kind *kind =
            std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind &k) { return k.type == types[first]; });
        if (kind == std::end(kinds)) {
            strobe_user_error() << "In " << name << ": " << shape.names[first] << " has elements of type " << types[first]
                                << "; legal are float32, float16 and bfloat16";
        }
        dtype = kind->name;
    }
    const auto size_at = [&](const std::vector<std::pair<size_t, size_t>> &places, int64_t otherwise) {
        for (const auto &[t, d] : places) {
            if (t < sizes.size() && d < sizes[t].size()) {
                const int64_t size = sizes[t][d];
                if (size < 1 || size > 1024) {
                    strobe_user_error() << "In " << name << ": dimension " << sizes[t].size() - 1 - d << " of "
                                        << shape.names[t] << " has size " << size << "; legal are 1 to 1024";
                }
                return size;
            }
        }
        return otherwise;
    };
    const int64_t head = size_at(shape.keyed, 64);
    return {name, params(dtype, head, size_at(shape.valued, head))};
}

}  // namespace strobe
