#include "Parameters.h"

#include "Code.h"
#include "support/Error.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace strobe::cuda {

using namespace Halide;
using Halide::Internal::Call;
using Halide::Internal::Mul;
using Halide::Internal::Variable;

namespace {

ElementType element_type(Type t) {
    return {static_cast<uint8_t>(t.code()), static_cast<uint8_t>(t.bits())};
}

/** "q.extent.1" -> {"q", "extent", 1}; false if it is not such a name. */
bool parse_dimension(const std::string &name, std::string &buffer, std::string &field, int &dim) {
    const size_t last = name.rfind('.');
    const size_t middle = last == std::string::npos || last == 0 ? std::string::npos : name.rfind('.', last - 1);
    if (middle == std::string::npos || last + 1 >= name.size() || !isdigit(name[last + 1])) {
        return false;
    }
    buffer = name.substr(0, middle);
    field = name.substr(middle + 1, last - middle - 1);
    dim = std::stoi(name.substr(last + 1));
    return field == "extent" || field == "min" || field == "stride";
}

/** Finds the input buffers and scalars of the program's Exprs, in order. */
class FindArguments : public Internal::IRVisitor {
    using IRVisitor::visit;

    void visit(const Call *op) override {
        if (op->call_type == Call::Image) {
            note(op->param);
        }
        IRVisitor::visit(op);
    }
    void visit(const Variable *op) override {
        if (op->param.defined()) {
            note(op->param);
        }
    }
    void note(const Parameter &p) {
        if (p.defined() && seen.insert(p.name()).second) {
            found.push_back(p);
        }
    }

public:
    std::vector<Parameter> found;
    std::set<std::string> seen;
    void look(const Expr &e) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

void look_into_passes(const TileProgram &program, FindArguments &finder) {
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                finder.look(op.expr);
            }
        }
        for (const Expr &e : {pass.mask.guard, pass.mask.dead, pass.mask.full, pass.mask.begin, pass.mask.end}) {
            finder.look(e);
        }
        for (const Summary &s : pass.mask.summaries) {
            finder.look(s.load);
        }
    }
}

std::vector<Parameter> inputs_of(const TileProgram &program) {
    FindArguments finder;
    for (const Output &o : program.outputs) {
        finder.seen.insert(o.name);
    }
    if (program.ahead) {
        for (const Output &array : program.ahead->program.outputs) {
            finder.seen.insert(array.name);
        }
    }
    look_into_passes(program, finder);
    if (program.ahead) {
        look_into_passes(program.ahead->program, finder);
    }
    finder.look(program.stream.extent);
    finder.look(program.query.extent);
    for (const Axis &a : program.grid) {
        finder.look(a.extent);
    }
    return finder.found;
}

double constant_or(const Expr &e, double otherwise) {
    if (e.defined()) {
        if (const auto *f = e.as<Internal::FloatImm>()) {
            return f->value;
        }
        if (const auto i = Internal::as_const_int(e)) {
            return static_cast<double>(*i);
        }
    }
    return otherwise;
}

}  // namespace

PackageArguments::PackageArguments(const TileProgram &program, KernelPackage &package)
    : program(program) {
    for (const Parameter &p : inputs_of(program)) {
        if (p.is_buffer()) {
            buffers[p.name()] = static_cast<int>(package.buffers.size());
            package.buffers.push_back(
                {p.name(), element_type(p.type()), static_cast<uint8_t>(p.dimensions()), false});
        } else {
            ScalarSpec s{p.name(), element_type(p.type())};
            s.has_min = p.min_value().defined();
            s.has_max = p.max_value().defined();
            s.min = constant_or(p.min_value(), 0);
            s.max = constant_or(p.max_value(), 0);
            scalars[p.name()] = static_cast<int>(package.scalars.size());
            package.scalars.push_back(s);
        }
    }
    for (const Output &o : program.outputs) {
        buffers[o.name] = static_cast<int>(package.buffers.size());
        package.buffers.push_back({o.name, element_type(o.type), static_cast<uint8_t>(o.axes.size()), true});
    }
}

int PackageArguments::buffer(const std::string &name) const {
    const auto found = buffers.find(name);
    strobe_internal_assert(found != buffers.end()) << "no buffer " << name;
    return found->second;
}

int PackageArguments::scalar(const std::string &name) const {
    const auto found = scalars.find(name);
    strobe_internal_assert(found != scalars.end()) << "no scalar " << name;
    return found->second;
}

namespace {

bool is_sum_ahead(const TileProgram &program, const std::string &array) {
    const auto same = [&](const Output &o) { return o.name == array; };
    return program.ahead && std::any_of(program.ahead->program.outputs.begin(), program.ahead->program.outputs.end(), same);
}

/** f(input, dimension, axis) for each dimension that an axis alone indexes in a load of tiles. */
void each_dimension(const TileProgram &program,
                    const std::function<void(const std::string &, size_t, const std::string &)> &f) {
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step}) {
            for (const TileOp &op : *ops) {
                const Call *call = op.kind == TileOp::Kind::Load ? op.expr.as<Call>() : nullptr;
                for (size_t d = 0; call && d < call->args.size(); d++) {
                    const Variable *v = call->args[d].as<Variable>();
                    if (v && !is_sum_ahead(program, call->param.name())) {
                        f(call->param.name(), d, v->name);
                    }
                }
            }
        }
    }
    if (program.ahead) {
        const SumsAhead &ahead = *program.ahead;
        each_dimension(ahead.program, [&](const std::string &input, size_t d, const std::string &axis) {
            f(input, d, axis == ahead.program.query.name ? ahead.axis : axis);
        });
    }
}

}  // namespace

void add_equal_extents(const TileProgram &program, const PackageArguments &arguments, KernelPackage &package) {
    std::map<std::string, std::pair<int, int>> seen;
    const auto note = [&](const std::string &axis, int buffer, int dim) {
        const auto added = seen.emplace(axis, std::make_pair(buffer, dim));
        if (!added.second && added.first->second != std::make_pair(buffer, dim)) {
            package.equal_extents.push_back({added.first->second.first, added.first->second.second, buffer, dim});
        }
    };
    // Features that are part of what another load has of the same dimension are not all of it.
    std::map<std::pair<std::string, size_t>, int> sizes;
    const auto size_of = [&](const std::string &axis) {
        const auto size = program.column_sizes.find(axis);
        return size == program.column_sizes.end() ? 0 : size->second;
    };
    each_dimension(program, [&](const std::string &buffer, size_t d, const std::string &axis) {
        sizes[{buffer, d}] = std::max(sizes[{buffer, d}], size_of(axis));
    });
    each_dimension(program, [&](const std::string &buffer, size_t d, const std::string &axis) {
        if (size_of(axis) == sizes[{buffer, d}]) {
            note(axis, arguments.buffer(buffer), static_cast<int>(d));
        }
    });
    for (const Output &o : program.outputs) {
        for (size_t d = 0; d < o.axes.size(); d++) {
            note(o.axes[d], arguments.buffer(o.name), static_cast<int>(d));
        }
    }
}

void add_fixed_extents(const TileProgram &program, const PackageArguments &arguments, KernelPackage &package) {
    std::map<std::pair<int, int>, FixedExtent> found;
    const auto note = [&](int buffer, int dim, int extent, bool at_least) {
        FixedExtent &fixed = found[{buffer, dim}];
        if (fixed.extent < extent || (fixed.at_least && !at_least)) {
            fixed = {buffer, dim, extent, at_least};
        }
    };
    const auto size_of = [&](const std::string &axis) {
        const auto size = program.column_sizes.find(axis);
        return size == program.column_sizes.end() ? 0 : size->second;
    };
    each_dimension(program, [&](const std::string &buffer, size_t d, const std::string &axis) {
        if (size_of(axis) > 0) {
            note(arguments.buffer(buffer), static_cast<int>(d), size_of(axis), true);
        }
    });
    for (const Output &o : program.outputs) {
        for (size_t d = 0; d < o.axes.size(); d++) {
            if (size_of(o.axes[d]) > 0) {
                note(arguments.buffer(o.name), static_cast<int>(d), size_of(o.axes[d]), false);
            }
        }
    }
    for (const Parameter &p : inputs_of(program)) {
        for (int d = 0; p.is_buffer() && d < p.dimensions(); d++) {
            const Expr declared = p.extent_constraint(d).defined() ? simplify(p.extent_constraint(d)) : Expr();
            const auto extent = declared.defined() ? as_const_int(declared) : std::nullopt;
            if (extent && *extent >= 0 && *extent <= std::numeric_limits<int32_t>::max()) {
                note(arguments.buffer(p.name()), d, static_cast<int>(*extent), false);
            }
        }
    }
    for (const auto &[place, fixed] : found) {
        package.fixed_extents.push_back(fixed);
    }
}

std::optional<CountTerm> PackageArguments::find_extent(const Axis &axis, int divisor) const {
    for (const Output &o : program.outputs) {
        for (size_t d = 0; d < o.axes.size(); d++) {
            if (o.axes[d] == axis.name) {
                return CountTerm{buffer(o.name), static_cast<int32_t>(d), divisor};
            }
        }
    }
    std::string name, field;
    int dim = 0;
    if (const Mul *product = axis.extent.as<Mul>()) {  // of a table of pages, say, and their size
        const auto factor = Internal::as_const_int(product->b);
        if (factor && *factor > 0 && divisor % *factor == 0) {
            return find_extent({axis.name, axis.min, product->a}, divisor / static_cast<int>(*factor));
        }
    }
    if (const Variable *v = axis.extent.as<Variable>()) {
        if (parse_dimension(v->name, name, field, dim) && is_buffer(name)) {
            return CountTerm{buffer(name), dim, divisor};
        }
    }
    if (const auto extent = Internal::as_const_int(axis.extent)) {
        return CountTerm{-1, 0, static_cast<int32_t>((*extent + divisor - 1) / divisor)};
    }
    return std::nullopt;
}

bool PackageArguments::has_extent_of(const Axis &axis) const {
    return find_extent(axis, 1).has_value();
}

CountTerm PackageArguments::extent_of(const Axis &axis, int divisor) const {
    const auto term = find_extent(axis, divisor);
    if (!term) {
        strobe_user_error() << "the extent of axis " << axis.name << ", " << axis.extent
                            << ", is not the extent of a buffer's dimension, which a GPU kernel needs to size its grid";
    }
    return *term;
}

Expr KernelParameters::add(const std::string &name, Type type, const ParamSpec &spec, bool is_array) {
    const std::string id = plain(name);
    if (types.emplace(id, type).second) {
        kernel.params.push_back(spec);
        list.emplace_back(id, is_array, MemoryType::Auto, type, 0);
    }
    return Variable::make(type, id);
}

Expr KernelParameters::pointer(const std::string &buffer) {
    return add("pointer_" + buffer, UInt(64), {ParamSpec::Kind::Pointer, arguments.buffer(buffer), 0});
}

std::string KernelParameters::array(const std::string &buffer, Type type) {
    const std::string name = plain("array_" + buffer);
    add(name, type, {ParamSpec::Kind::Pointer, arguments.buffer(buffer), 0}, true);
    return name;
}

std::string KernelParameters::workspace_array(int index, Type type) {
    const std::string name = "workspace_array_" + std::to_string(index);
    add(name, type, {ParamSpec::Kind::Workspace, index, 0}, true);
    return name;
}

Expr KernelParameters::extent(const std::string &buffer, int dim) {
    return add("extent_" + buffer + "_" + std::to_string(dim), Int(32),
               {ParamSpec::Kind::Extent, arguments.buffer(buffer), dim});
}

Expr KernelParameters::stride(const std::string &buffer, int dim) {
    return add("stride_" + buffer + "_" + std::to_string(dim), Int(64),
               {ParamSpec::Kind::Stride, arguments.buffer(buffer), dim});
}

Expr KernelParameters::scalar(const std::string &name, Type type) {
    return add("scalar_" + name, type, {ParamSpec::Kind::Scalar, arguments.scalar(name), 0});
}

Expr KernelParameters::tensor_map(int index) {
    return add("map_" + std::to_string(index), UInt(64), {ParamSpec::Kind::TensorMap, index, 0});
}

Expr KernelParameters::workspace(int index) {
    return add("workspace_" + std::to_string(index), UInt(64), {ParamSpec::Kind::Workspace, index, 0});
}

Expr KernelParameters::grid_size() {
    return add("grid_size", Int(32), {ParamSpec::Kind::GridSize, 0, 0});
}

std::vector<int> KernelParameters::tensor_map_positions() const {
    std::vector<int> positions;
    for (size_t i = 0; i < kernel.params.size(); i++) {
        if (kernel.params[i].kind == ParamSpec::Kind::TensorMap) {
            positions.push_back(static_cast<int>(i));
        }
    }
    return positions;
}

namespace {

class Resolve : public Internal::IRMutator {
    using IRMutator::visit;
    KernelParameters &parameters;
    const PackageArguments &arguments;

    Expr visit(const Variable *op) override {
        std::string buffer, field;
        int dim = 0;
        if (parse_dimension(op->name, buffer, field, dim) && arguments.is_buffer(buffer)) {
            // Coordinates count from 0 in a kernel; the runtime shifts what does not.
            return field == "extent" ? parameters.extent(buffer, dim) :
                   field == "min"    ? Expr(0) :
                                       cast(op->type, parameters.stride(buffer, dim));
        }
        if (op->param.defined() && !op->param.is_buffer()) {
            return parameters.scalar(op->param.name(), op->type);
        }
        return op;
    }

public:
    Resolve(KernelParameters &parameters, const PackageArguments &arguments)
        : parameters(parameters), arguments(arguments) {
    }
};

}  // namespace

Expr KernelParameters::resolve(const Expr &e) {
    return Resolve(*this, arguments).mutate(e);
}

}  // namespace strobe::cuda
