#include "Context.h"

#include "DeviceMath.h"
#include "support/Error.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class AtPoint : public IRMutator {
    using IRMutator::visit;
    const Context &context;
    const Point &point;
    bool in_address = false;

    Expr visit(const Variable *op) override {
        const auto it = point.find(op->name);
        if (it != point.end()) {
            Expr at = it->second.at;
            if (in_address) {
                at = max(min(at, context.valid(op->name) - 1), 0);
            }
            return context.corner(op->name) + at;
        }
        if (!op->param.defined() && context.program.has_value(op->name)) {
            return load_element(context.at(op->name), point);
        }
        return op;
    }

    Expr visit(const Call *op) override {
        if (op->call_type != Call::Image) {
            return IRMutator::visit(op);
        }
        std::vector<Expr> args;
        {
            ScopedValue<bool> address(in_address, true);
            for (const Expr &a : op->args) {
                args.push_back(mutate(a));
            }
        }
        return context.load_input(op, args);
    }

public:
    AtPoint(const Context &c, const Point &p) : context(c), point(p) {
    }
};

}  // namespace

Context::Context(const TileProgram &program, bool on_cpu)
    : program(program), values(place_values(program)), on_cpu(on_cpu) {
}

const Stored &Context::at(const std::string &value) const {
    const auto it = values.stored.find(value);
    strobe_internal_assert(it != values.stored.end()) << "no tile value " << value;
    return it->second;
}

Expr Context::corner(const std::string &axis) const {
    if (axis == program.query.name || axis == program.stream.name) {
        return Variable::make(Int(32), axis + ".lo");
    }
    return program.axis(axis).min;
}

Expr Context::valid(const std::string &axis) const {
    if (axis == program.query.name || axis == program.stream.name) {
        return Variable::make(Int(32), axis + ".hi") - Variable::make(Int(32), axis + ".lo") + 1;
    }
    const Expr size = values.map.axes.at(axis).size;
    return simplify(min(program.axis(axis).extent, size));
}

Expr Context::evaluate(const Expr &e, const Point &point) const {
    const Expr value = strictify_float(AtPoint(*this, point).mutate(e));
    return on_cpu ? value : device_math(value);
}

Expr Context::flat_index(const std::string &name, const std::vector<Expr> &args, const Parameter &param) const {
    Expr index = make_zero(Int(64));
    for (size_t k = 0; k < args.size(); k++) {
        const std::string d = std::to_string(k);
        const Expr low = Variable::make(Int(32), name + ".min." + d, Buffer<>(), param, ReductionDomain());
        const Type type = on_cpu ? Int(32) : Int(64);
        const Expr stride = Variable::make(type, name + ".stride." + d, Buffer<>(), param, ReductionDomain());
        index += cast<int64_t>(args[k] - low) * cast<int64_t>(stride);
    }
    return index;
}

Expr Context::load_input(const Call *call, const std::vector<Expr> &args) const {
    strobe_user_assert(call->param.defined())
        << "In algorithm " << program.name << ": " << call->name
        << " is a constant buffer of the algorithm; a GPU kernel takes it as an input: make it an ImageParam";
    const std::string name = call->param.name();
    return Load::make(call->type, name, flat_index(name, args, call->param), Buffer<>(), call->param, const_true(),
                      ModulusRemainder());
}

Expr element_index(const Stored &s, const Point &point) {
    const auto coord = [&](const std::string &axis) -> const Coord & {
        const auto it = point.find(axis);
        strobe_internal_assert(it != point.end()) << s.name << " is used outside a loop over " << axis;
        return it->second;
    };
    if (!s.registers) {
        Expr index = 0;
        for (size_t d = 0; d < s.dims.size(); d++) {
            index += coord(s.dims[d].axis).at * s.strides[d];
        }
        return simplify(index);
    }
    // A row's slots one after another.
    int index = 0;
    for (size_t d = 0; d < s.dims.size(); d++) {
        const Coord &c = coord(s.dims[d].axis);
        strobe_internal_assert(c.slot >= 0) << s.name << " is in registers, but not in those of its reader";
        index = index * s.sizes[d] + c.slot;
    }
    return index;
}

Expr load_at(const std::string &array, Type type, const Expr &index) {
    return Load::make(type, array, index, Buffer<>(), Parameter(), const_true(type.lanes()), ModulusRemainder());
}

Stmt store_at(const std::string &array, const Expr &value, const Expr &index) {
    return Store::make(array, value, index, Parameter(), const_true(value.type().lanes()), ModulusRemainder());
}

Expr load_element(const Stored &s, const Point &point) {
    const Expr e = load_at(s.name, s.type, element_index(s, point));
    return s.rounded_to.is_bool() ? e != make_zero(s.type) : s.type == s.rounded_to ? e : cast(s.rounded_to, e);
}

Stmt store_element(const Stored &s, const Point &point, const Expr &value) {
    const Expr rounded = value.type() == s.rounded_to ? value : cast(s.rounded_to, value);
    return store_at(s.name, s.type == s.rounded_to ? rounded : cast(s.type, rounded), element_index(s, point));
}

Stmt serial_loop(const std::string &name, const Expr &extent, const std::function<Stmt(Expr)> &make) {
    if (is_const_one(extent)) {
        return make(0);
    }
    const std::string unique = unique_name(name);
    return For::make(unique, 0, extent, ForType::Serial, Partition::Never, DeviceAPI::None,
                     make(Variable::make(Int(32), unique)));
}

Stmt for_each_element(const Context &context, const Stored &s,
                      const std::function<Stmt(const Point &, const Expr &)> &make) {
    int total = 1;
    for (int size : s.sizes) {
        total *= size;
    }
    const int threads = context.threads();
    return serial_loop("element", (total + threads - 1) / threads, [&](const Expr &turn) {
        const Expr number = turn * threads + thread();
        Expr rest = number, inside = const_true();
        Point point;
        for (size_t d = s.dims.size(); d-- > 0;) {
            const Expr at = d == 0 ? rest : rest % s.sizes[d];
            rest = rest / s.sizes[d];
            point[s.dims[d].axis] = {at, -1};
            if (s.sizes[d] != s.dims[d].size) {
                inside = inside && at < s.dims[d].size;
            }
        }
        const Stmt body = make(point, inside);
        return total % threads == 0 ? body : IfThenElse::make(number < total, body);
    });
}

}  // namespace strobe::simt
