#include "Context.h"

#include "DeviceMath.h"
#include "lower/BlockWalk.h"
#include "support/Error.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class AtPoint : public IRMutator {
    using IRMutator::visit;
    const Context &context;
    const Point &point;
    const bool clamps;  // coordinates of input elements
    bool in_address = false;

    Expr visit(const Variable *op) override {
        const auto it = point.find(op->name);
        if (op->name == context.values.map.point_axis) {
            return context.coordinate_of_point(it == point.end() ? context.values.map.point() : it->second.at);
        }
        if (it != point.end()) {
            Expr at = it->second.at;
            if (in_address && clamps) {
                at = max(min(at, context.valid(op->name) - 1), 0);
            }
            return context.corner(op->name) + at;
        }
        if (!op->param.defined() && context.program.has_value(op->name)) {
            const bool across = point.count(context.values.map.point_axis) > 0;
            const Stored &own = context.at(op->name);
            return load_element(context,
                                across && own.registers && !own.across ? context.handed_over.at(op->name) : own, point);
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
    AtPoint(const Context &c, const Point &p, bool clamps) : context(c), point(p), clamps(clamps) {
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

Stmt Context::each(const Stmt &body) const {
    return each_thread(threads(), body);
}

Stmt Context::each_of_points(const Stmt &body) const {
    if (values.map.points == 1) {
        return each(body);
    }
    const Stmt s = IfThenElse::make(has_point(values.map.point()), body);
    return each(values.map.point_is_warp() ? Block::make(use_within_warp(), s) : s);
}

Expr Context::coordinate_of_point(const Expr &number) const {
    const Axis &a = program.axis(values.map.point_axis);
    return min(first_point(a.name) + number, a.min + a.extent - 1);
}

Expr Context::has_point(const Expr &number) const {
    const Axis &a = program.axis(values.map.point_axis);
    return first_point(a.name) + number < a.min + a.extent;
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
    const Expr value = strictify_float(AtPoint(*this, point, true).mutate(e));
    return on_cpu ? value : device_math(value);
}

Expr Context::index_of_input(const Expr &element, const Point &point) const {
    const Expr load = AtPoint(*this, point, false).mutate(element);
    strobe_internal_assert(load.as<Load>()) << "no input element: " << element;
    return load.as<Load>()->index;
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

Expr element_index(const Context &context, const Stored &s, const Point &point) {
    const ThreadMap &map = context.values.map;
    const auto coord = [&](const std::string &axis) -> const Coord & {
        const auto it = point.find(axis);
        strobe_internal_assert(it != point.end()) << s.name << " is used outside a loop over " << axis;
        return it->second;
    };
    if (!s.registers) {
        Expr index = s.offset;
        for (size_t d = 0; d < s.dims.size(); d++) {
            index += coord(s.dims[d].axis).at * s.strides[d];
        }
        if (s.points > 1) {
            const auto it = point.find(map.point_axis);
            index += (it == point.end() ? map.point() : it->second.at) * make_const(Int(32), s.elements);
        }
        return simplify(index);
    }
    if (s.across) {
        return (coord(s.dims[0].axis).slot * s.sizes[1] + coord(map.point_axis).slot) * s.sizes[2] +
               coord(s.dims[1].axis).slot;
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

Expr load_element(const Context &context, const Stored &s, const Point &point) {
    const Expr e = load_at(s.name, s.type, element_index(context, s, point));
    return s.rounded_to.is_bool() ? e != make_zero(s.type) : s.type == s.rounded_to ? e : cast(s.rounded_to, e);
}

Stmt store_element(const Context &context, const Stored &s, const Point &point, const Expr &value) {
    const Expr rounded = value.type() == s.rounded_to ? value : cast(s.rounded_to, value);
    return store_at(s.name, s.type == s.rounded_to ? rounded : cast(s.type, rounded), element_index(context, s, point));
}

Stmt serial_loop(const std::string &name, const Expr &extent, const std::function<Stmt(Expr)> &make) {
    if (is_const_one(extent)) {
        return make(0);
    }
    const std::string unique = unique_name(name);
    return For::make(unique, 0, extent, ForType::Serial, Partition::Never, DeviceAPI::None,
                     make(Variable::make(Int(32), unique)));
}

Stmt for_own_rows(const Context &context, const Stored &s, const std::function<Stmt(const Point &)> &body) {
    if (!s.by_rows) {
        return body({});
    }
    const ThreadMap &map = context.values.map;
    const TileDim &rows = s.dims[0];
    std::vector<Stmt> stmts = {use_within_warp(s.name)};
    for (int r = 0; r < map.row_slots_across(rows.size); r++) {
        const Expr row = map.row_across(r);
        const bool all = (r + 1) * (map.all_threads() / 32) <= rows.size;
        const Stmt one = body({{rows.axis, {row, -1}}});
        stmts.push_back(all ? one : IfThenElse::make(row < rows.size, one));
    }
    return Block::make(stmts);
}

Stmt for_each_element(const Context &context, const Stored &s,
                      const std::function<Stmt(const Point &, const Expr &)> &make) {
    const size_t outermost = s.by_rows ? 1 : 0;
    int total = 1;
    for (size_t d = outermost; d < s.sizes.size(); d++) {
        total *= s.sizes[d];
    }
    const int threads = context.sharers(s);
    return for_own_rows(context, s, [&](const Point &row) {
        return serial_loop("element", (total + threads - 1) / threads, [&](const Expr &turn) {
            const Expr number = turn * threads + context.sharer(s);
            Expr rest = number, inside = const_true();
            Point point = row;
            for (size_t d = s.dims.size(); d-- > outermost;) {
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
    });
}

}  // namespace strobe::simt
