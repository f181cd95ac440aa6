#include "RowTranslator.h"

#include "DeviceMath.h"
#include "Quotients.h"
#include "derivation/Expressions.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Expr Elements::RowTranslator::visit(const Variable *op) {
    const TileProgram &program = self.program;
    const std::string &query = program.query.name, &stream = program.stream.name;
    if (program.has_value(op->name)) {
        return device::get(op->type, self.register_of(op->name), r);
    }
    if (op->name == query) {
        return Code::get_int("row0") + 8 * r;
    }
    if (op->name == query + ".lo") {
        return Code::get_int("query_lo");
    }
    if (op->name == stream + ".lo") {
        return Code::get_int("stream_lo");
    }
    if (op->name == query + ".hi") {
        return self.last_row();
    }
    if (op->name == stream + ".hi") {
        return min(Code::get_int("stream_lo") + (program.stream_tile - 1),
                   mutate(program.stream.min + program.stream.extent - 1));
    }
    for (const Axis &a : program.grid) {
        if (a.name == op->name) {
            return Code::get_int("axis_" + plain(a.name));
        }
    }
    const auto bound = self.bindings.find(op->name);
    if (bound != self.bindings.end()) {
        return bound->second();
    }
    if (op->name == thread_column_name) {
        return self.first_column();
    }
    if (op->name == offset_name) {
        return Expr(offset);
    }
    if (!self.column_axis.empty() && op->name == self.column_axis) {
        return self.first_column() + offset;
    }
    return self.parameters.resolve(op);
}

Expr Elements::RowTranslator::visit(const Call *op) {
    if (op->call_type == Call::Image) {
        return load(op);
    }
    std::vector<Expr> args;
    for (const Expr &a : op->args) {
        args.push_back(mutate(a));
    }
    const Expr e = math_call(op, args);
    return e.defined() ? e : Call::make(op->type, op->name, args, op->call_type);
}

Expr Elements::RowTranslator::visit(const Max *op) {
    return op->type == Float(32) ? device::fmax(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
}
Expr Elements::RowTranslator::visit(const Min *op) {
    return op->type == Float(32) ? device::fmin(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
}

/** Coordinates and extents, which are not negative. */
std::set<std::string> Elements::RowTranslator::positions(const Expr &e) const {
    const std::string &query = self.program.query.name, &stream = self.program.stream.name;
    std::set<std::string> known = {query, query + ".lo", query + ".hi"};
    if (is_const_zero(self.program.stream.min)) {
        known.insert({stream, stream + ".lo", stream + ".hi", "$element"});
    }
    for (const Axis &a : self.program.grid) {
        known.insert(a.name);
    }
    for (const std::string &name : variables(e)) {
        if (name.find(".extent.") != std::string::npos) {
            known.insert(name);
        }
    }
    return known;
}

/** n / by or n % by by means of a reciprocal, computed once; undefined where \p by is not the same in the whole
 * kernel or may be negative. What is divided once for a block's rows is not worth the register that holds it. */
Expr Elements::RowTranslator::by_reciprocal(const Expr &whole, const Expr &n, const Expr &by, bool remainder) {
    const Dependence divided = self.dependence(n), divisor = self.dependence(by);
    const bool once = divided.row && !divided.column && !divided.state;
    if (!is_quotient(whole) || is_const(by) || once || divisor.block || divisor.row || divisor.state ||
        divisor.differs() || !is_nonnegative(by, positions(by))) {
        return Expr();
    }
    const Expr reciprocal = self.hoisted(reciprocal_of(by))[0], divisor_value = self.hoisted(by)[0];
    const bool nonnegative = is_nonnegative(n, positions(n));
    const Expr result = remainder ? remainder_by(mutate(n), divisor_value, reciprocal, nonnegative) :
                                    quotient_by(mutate(n), divisor_value, reciprocal, nonnegative);
    return is_positive(by, {}) ? result : select(divisor_value == 0, 0, result);
}

Expr Elements::RowTranslator::visit(const Div *op) {
    const Expr e = by_reciprocal(op, op->a, op->b, false);
    return e.defined() ? e : IRMutator::visit(op);
}

Expr Elements::RowTranslator::visit(const Mod *op) {
    const Expr e = by_reciprocal(op, op->a, op->b, true);
    return e.defined() ? e : IRMutator::visit(op);
}

/** The coordinate, kept inside the tensor: elements beyond its end are dropped
 * later, but must not fault. */
Expr Elements::RowTranslator::load(const Call *op) {
    const std::string &buffer = op->param.name();
    Expr index = make_zero(Int(64));
    for (size_t d = 0; d < op->args.size(); d++) {
        Expr at = mutate(op->args[d]);
        const Dependence dep = self.dependence(op->args[d]);
        if (dep.row || dep.column || dep.state) {
            at = max(min(at, self.parameters.extent(buffer, d) - 1), 0);
        }
        index = index + cast<int64_t>(at) * self.parameters.stride(buffer, d);
    }
    return device::load_global(op->type, self.parameters.pointer(buffer), index);
}

}  // namespace strobe::cuda
