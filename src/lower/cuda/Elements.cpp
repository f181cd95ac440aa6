#include "Elements.h"

#include "DeviceMath.h"
#include "ElementSplit.h"
#include "RowTranslator.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Elements::Elements(const TileProgram &program, KernelParameters &parameters, Code &code)
    : program(program), parameters(parameters), code(code) {
}

Dependence Elements::dependence(const Expr &e) const {
    return dependence_of(e, program, parts);
}

Expr Elements::row_value(const Expr &e, int r) {
    return RowTranslator(*this, r).mutate(without_aliases(e));
}

std::array<Expr, 2> Elements::hoisted(const Expr &e) {
    if (is_const(e)) {
        return {e, e};
    }
    const Type type = e.type().is_bool() ? Int(32) : e.type();
    const auto read = [&](const Hoisted &h) -> std::array<Expr, 2> {
        std::array<Expr, 2> values;
        for (int r = 0; r < 2; r++) {
            const Expr value = h.kernel ? Variable::make(h.type, h.name) : device::get(h.type, h.name, r);
            values[r] = e.type().is_bool() ? value != 0 : value;
        }
        return values;
    };
    const auto value = [&](int r) {
        const Expr x = row_value(e, r);
        return e.type().is_bool() ? select(x, 1, 0) : x;
    };
    const Dependence d = dependence(e);
    for (const Hoisted &h : hoists) {
        if (!d.state && equal(h.source, e)) {
            return read(h);
        }
    }
    Hoisted h{e, fresh("h"), type, !d.block && !d.row && !d.state};
    if (h.kernel) {
        kernel_values.emplace_back(h.name, value(0));
    }
    for (int r = 0; r < 2 && !h.kernel; r++) {
        const Stmt s = device::set(h.name, r, r == 0 || d.row || d.state ? value(r) : device::get(type, h.name, 0));
        if (d.state) {
            code.emit(s);
        } else {
            block_start.push_back(s);
        }
    }
    if (!d.state) {
        hoists.push_back(h);
    }
    return read(h);
}

Stmt Elements::with_kernel_values(Stmt body) const {
    for (auto v = kernel_values.rbegin(); v != kernel_values.rend(); ++v) {
        body = LetStmt::make(v->first, v->second, body);
    }
    return body;
}

LinearForm Elements::linear(const Expr &e) const {
    return linear_form(without_aliases(e), [this](const Expr &x) { return dependence(x).differs(); },
                       program.stream.name);
}

/** coefficient * float(column) = coefficient * float(the thread's first column) +
 * coefficient * a constant; the first part moves to `constant`. */
void Elements::split_column(Term &t, Expr &constant) const {
    const Variable *v = t.atom.as<Variable>();
    if (v && v->name == column_axis + ".float") {
        const Expr start = t.coefficient * cast<float>(thread_column());
        constant = is_const_zero(constant) ? start : constant + start;
        t.atom = Variable::make(Float(32), offset_name + ".float");
    }
}

/** An Expr of a Split at an element. */
Expr Elements::at_element(const Split &split, const Expr &e, int r, int group, int parity) {
    std::map<std::string, Expr> bindings;
    const int offset = 8 * group + parity, n = 4 * group + 2 * r + parity;
    bindings[offset_name] = offset;
    bindings[offset_name + ".float"] = static_cast<float>(offset);
    for (const auto &p : split.rows) {
        bindings[p.name] = p.value[r];
    }
    for (const auto &x : split.elements) {
        const std::string name = x.name.substr(1);
        bindings[x.name] = in_tile(x.load)       ? tile_value(x.load, name, r, group, parity) :
                           x.registers.empty() ? element_of(name, x.load, x.dim, r, offset) :
                                                 device::get(word_type(x.load->type), x.registers, n);
    }
    for (const auto &c : split.columns) {
        const Expr held = device::get(word_type(c.source.type()), c.name.substr(1), parity);
        bindings[c.name] = c.source.type().is_float() ? held : cast(c.source.type(), held);
    }
    for (const auto &x : split.reciprocals) {
        bindings[x.name] = Code::get_float(x.name.substr(1), parity);
    }
    for (const TileValue &v : program.values) {
        if (v.dims.size() == 2 && expr_uses_var(e, v.name)) {
            const Expr from = foreign ? foreign(v.name, n) : Expr();
            bindings[v.name] = from.defined() ? from : device::get(Float(32), register_of(v.name), n);
        }
    }
    for (const std::string &part : parts) {
        bindings[part] = device::get(Float(32), register_of(part), n);
    }
    RowTranslator translator(*this, r);
    translator.offset = offset;
    return translator.mutate(substitute(bindings, e));
}

/** Both elements' reciprocals from one: 1 / a = b / (a b). The special-function unit, which has the exponentials to do,
 * is asked once for two. Where warpgroups take turns and so keep it busy, a quarter of those of which a few bits are
 * enough do without it. */
void Elements::take_reciprocals(const Split &split, int r, int group) {
    for (const auto &x : split.reciprocals) {
        const std::string name = x.name.substr(1), by = name + "_by";
        if (narrow && turns && group % 4 == 3) {
            for (int parity = 0; parity < 2; parity++) {
                code.set(name, parity, device::reciprocal_narrow(at_element(split, x.denominator, r, group, parity)));
            }
            continue;
        }
        for (int parity = 0; parity < 2; parity++) {
            code.set(by, parity, at_element(split, x.scaled_denominator, r, group, parity));
        }
        const Expr a = Code::get_float(by, 0), b = Code::get_float(by, 1);
        code.set(by, 2, device::reciprocal_approx(a * b) * reciprocal_scale);
        for (int parity = 0; parity < 2; parity++) {
            code.set(name, parity, (parity ? a : b) * Code::get_float(by, 2));
        }
    }
}

void Elements::for_each_pair(const Expr &e, const std::string &axis, int columns,
                             const std::function<void(int, int, const Expr &, const Expr &)> &f) {
    use_columns(axis);
    Split split(*this);
    const Expr prepared = split.mutate(without_aliases(e));
    for (const auto &x : split.elements) {
        if (in_tile(x.load)) {
            read_tile(x.load, column_axis, -1, x.name.substr(1));
        } else if (x.registers.empty()) {
            set_element_rows(x.name.substr(1), x.load, x.dim);
        }
    }
    const bool costly = apart.defined() && is_costly(prepared);
    const int groups = (columns + 7) / 8;
    for (int group = 0; group < groups; group++) {
        if (costly) {
            code.run("keep_apart", {}, {apart});
        }
        if (halfway && group == groups / 2) {
            halfway();
        }
        for (const auto &x : split.elements) {
            if (group % 2 == 0 && in_tile(x.load)) {
                read_tile(x.load, column_axis, group / 2, x.name.substr(1));
            }
        }
        for (const auto &c : split.columns) {
            for (int parity = 0; parity < 2; parity++) {
                RowTranslator translator(*this, 0);
                translator.offset = 8 * group + parity;
                const Expr staged = staged_column ? staged_column(c.source, translator.offset) : Expr();
                const Expr value = staged.defined() ? staged : translator.mutate(c.source);
                code.set(c.name.substr(1), parity, cast(word_type(value.type()), value));
            }
        }
        for (int r = 0; r < 2; r++) {
            take_reciprocals(split, r, group);
            f(r, group, at_element(split, prepared, r, group, 0), at_element(split, prepared, r, group, 1));
        }
    }
}

void Elements::use_columns(const std::string &axis) {
    column_axis = axis;
}

Expr Elements::first_column() const {
    const Expr own = thread_index() % 4 * 2;
    return column_axis == program.stream.name ? Code::get_int("stream_lo") + own : own;
}

void Elements::assign(const std::string &fragment, const Expr &value, const TileDim &columns) {
    for_each_pair(value, columns.axis, columns.size, [&](int r, int group, const Expr &a, const Expr &b) {
        code.set(register_of(fragment), 4 * group + 2 * r, a);
        code.set(register_of(fragment), 4 * group + 2 * r + 1, b);
    });
}

void Elements::map(const TileOp &op) {
    const TileValue &dst = program.value(op.dst);
    if (dst.dims.size() < 2) {
        const std::array<Expr, 2> values = {row_value(op.expr, 0), row_value(op.expr, 1)};
        for (int r = 0; r < 2; r++) {
            code.set(register_of(op.dst), r, values[r]);
        }
        return;
    }
    if (mask_alias(op) || (op.when == TileOp::When::Always && !expr_uses_var(op.expr, op.dst) && define_alias(op))) {
        return;
    }
    narrow = narrow_operands.count(op.dst) > 0;
    assign_map(op, dst.dims[1]);
    narrow = false;
    aliases.erase(op.dst);
}

/** Takes a reciprocal of a fragment's elements that two of them can share, and reads nothing else that may be NaN. */
bool Elements::divides_pairs(const Expr &e) const {
    class Find : public IRGraphVisitor {
        using IRGraphVisitor::visit;
        const Elements &self;
        void visit(const Div *op) override {
            found |= op->type == Float(32) && self.dependence(op->b).fragment && at_least_one(op->b);
            IRGraphVisitor::visit(op);
        }
        void visit(const Call *op) override {
            reads |= op->call_type == Call::Image;
            IRGraphVisitor::visit(op);
        }

    public:
        bool reads = false;
        bool found = false;
        explicit Find(const Elements &self)
            : self(self) {
        }
    } find(*this);
    e.accept(&find);
    return find.found && !find.reads;
}

/** What holds for the elements of `value` that a partial tile keeps; undefined if the step masks none. */
static Expr mask_of(const TileProgram &program, const std::string &value) {
    for (const TileOp &op : program.passes[0].step) {
        const Select *chosen = op.when == TileOp::When::Partial && op.dst == value ? op.expr.as<Select>() : nullptr;
        const Variable *kept = chosen ? chosen->true_value.as<Variable>() : nullptr;
        if (kept && kept->name == value) {
            return chosen->condition;
        }
    }
    return Expr();
}

/** Two elements share a reciprocal. Where a tile has masked elements, these first become what no NaN is in: else one
 * that a row is not to see would reach another column. */
void Elements::assign_map(const TileOp &op, const TileDim &columns) {
    std::string fragment;
    int fragments = 0;
    for (const TileValue &v : program.values) {
        if (v.dims.size() == 2 && expr_uses_var(op.expr, v.name)) {
            fragment = v.name;
            fragments++;
        }
    }
    paired = all_live.defined() && op.when == TileOp::When::Always && fragments == 1 &&
             consumable.count(fragment) && divides_pairs(op.expr);
    const Expr mask = mask_of(program, op.dst);
    if (paired && mask.defined()) {
        std::function<void()> later;
        std::swap(later, halfway);
        apart = Code::get_int("iteration");
        code.when(!all_live, [&] {
            assign(fragment, select(mask, Variable::make(Float(32), fragment), make_zero(Float(32))), columns);
        });
        apart = Expr();
        std::swap(later, halfway);
    }
    assign(op.dst, op.expr, columns);
    paired = false;
}

void Elements::reduce(const TileOp &op, bool complete_result) {
    use_columns(op.axis);
    int columns = program.stream_tile;
    for (const TileValue &v : program.values) {
        for (const TileDim &d : v.dims) {
            columns = d.axis == op.axis ? d.size : columns;
        }
    }
    const LinearForm form = linear(op.expr);
    Expr body = op.expr, coefficient, constant;
    const bool order = op.op == ReduceOp::Max || op.op == ReduceOp::Min;
    if (form.terms.size() == 1 && form.terms[0].atom.type() == Float(32) &&
        ((order && positive(form.terms[0].coefficient)) || (op.op == ReduceOp::Sum && is_const_zero(form.constant)))) {
        body = form.terms[0].atom;
        coefficient = form.terms[0].coefficient;
        constant = form.constant;
    }
    const int chains = 4;
    std::vector<Expr> partial(2 * chains);
    for_each_pair(body, op.axis, columns, [&](int r, int group, const Expr &a, const Expr &b) {
        for (int parity = 0; parity < 2; parity++) {
            Expr &p = partial[chains * r + (2 * group + parity) % chains];
            const Expr &x = parity ? b : a;
            p = p.defined() ? combined(op.op, p, x) : x;
        }
    });
    for (int r = 0; r < 2; r++) {
        Expr value = partial[chains * r];
        for (int c = 1; c < chains; c++) {
            value = partial[chains * r + c].defined() ? combined(op.op, value, partial[chains * r + c]) : value;
        }
        if (coefficient.defined()) {
            value = scaled(row_value(coefficient, r), value);
            value = is_const_zero(constant) ? value : value + row_value(constant, r);
        }
        code.set(register_of(op.dst), r, value);
    }
    if (complete_result) {
        complete(op.dst, op.op);
    }
}

void Elements::complete(const std::string &value, ReduceOp op) {
    const Type t = program.value(value).type;
    for (int r = 0; r < 2; r++) {
        for (int mask = 1; mask <= 2; mask *= 2) {
            const Expr own = device::get(t, register_of(value), r);
            code.set("lane_other", 0, device::shuffle_xor(own, mask));
            code.set(register_of(value), r, combined(op, own, device::get(t, "lane_other", 0)));
        }
    }
}

}  // namespace strobe::cuda
