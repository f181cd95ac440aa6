#include "Elements.h"

#include "support/Error.h"

#include <algorithm>
#include <cmath>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const double log2_e = 1.4426950408889634074;
const double ln_2 = 0.69314718055994530942;

/** The column of the thread's first element of a row, and an element's distance
 * from it, which is a constant. */
const std::string thread_column_name = "$thread_column";
const std::string offset_name = "$offset";

Expr thread_column() {
    return Variable::make(Int(32), thread_column_name);
}

Expr minus_infinity() {
    return Expr(-std::numeric_limits<float>::infinity());
}

/** Provably positive, from declared ranges of scalars. */
bool positive(const Expr &e) {
    if (const FloatImm *f = e.as<FloatImm>()) {
        return f->value > 0;
    }
    if (const Mul *op = e.as<Mul>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Div *op = e.as<Div>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Add *op = e.as<Add>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Variable *op = e.as<Variable>()) {
        const bool scalar = op->param.defined() && !op->param.is_buffer();
        return scalar && op->param.min_value().defined() && positive(op->param.min_value());
    }
    return false;
}

bool is_math(const Call *op, const char *name) {
    return op->call_type == Call::PureExtern && op->name == std::string(name) + "_f32";
}

/** The call of the hardware's own function for a math function, null if there is none. */
Expr math_call(const Call *op, const std::vector<Expr> &args) {
    if (is_math(op, "exp")) {
        return device::exp2_approx(args[0] * static_cast<float>(log2_e));
    }
    if (is_math(op, "log")) {
        return device::log2_approx(args[0]) * static_cast<float>(ln_2);
    }
    if (is_math(op, "tanh")) {
        return device::tanh_approx(args[0]);
    }
    return Expr();
}

/** Provably greater than some positive constant, or NaN: sums of such and of exponentials. */
bool above_zero(const Expr &e) {
    const auto exponential = [](const Expr &x) {
        const Call *call = x.as<Call>();
        return call && is_math(call, "exp");
    };
    if (const FloatImm *f = e.as<FloatImm>()) {
        return f->value > 1e-30;
    }
    const Add *sum = e.as<Add>();
    return sum && ((above_zero(sum->a) && (above_zero(sum->b) || exponential(sum->b))) ||
                   (above_zero(sum->b) && exponential(sum->a)));
}

/** The row-wise maximum, minimum or sum of two values, as machine instructions. */
Expr combined(ReduceOp op, const Expr &a, const Expr &b) {
    if (a.type() == Float(32)) {
        if (op == ReduceOp::Max) {
            return device::fmax(a, b);
        }
        if (op == ReduceOp::Min) {
            return device::fmin(a, b);
        }
    }
    return combine(op, a, b);
}

}  // namespace

bool is_quotient(const Expr &e) {
    const Div *div = e.as<Div>();
    const Mod *mod = e.as<Mod>();
    const Expr by = div ? div->b : mod ? mod->b : Expr();
    return by.defined() && e.type() == Int(32) && !is_const_power_of_two_integer(by);
}

namespace {

/** Divides integers, or reads memory, for each element. */
bool is_costly(const Expr &e) {
    class Find : public IRVisitor {
        using IRVisitor::visit;
        void visit(const Div *op) override {
            found |= op->type.is_int_or_uint();
            IRVisitor::visit(op);
        }
        void visit(const Mod *op) override {
            found = true;
            IRVisitor::visit(op);
        }
        void visit(const Call *op) override {
            found |= op->call_type == Call::Image;
            IRVisitor::visit(op);
        }
        void visit(const Variable *op) override {
            found |= op->name.compare(0, 8, "$element") == 0;
        }

    public:
        bool found = false;
    } find;
    e.accept(&find);
    return find.found;
}

class FindDependence : public IRVisitor {
    using IRVisitor::visit;
    const TileProgram &program;
    const std::set<std::string> &parts;

    void visit(const Variable *op) override {
        const std::string &name = op->name;
        const std::string &query = program.query.name, &stream = program.stream.name;
        if (parts.count(name)) {
            found.state = found.row = found.fragment = true;
        } else if (program.has_value(name)) {
            const TileValue &v = program.value(name);
            found.state = true;
            found.row = true;
            found.fragment |= v.dims.size() > 1;
        } else if (name == stream) {
            found.column = found.state = true;
        } else if (name == stream + ".lo" || name == stream + ".hi") {
            found.state = true;
        } else if (name == query) {
            found.row = found.block = true;
        } else if (name == query + ".lo" || name == query + ".hi") {
            found.block = true;
        } else if (name == stream + ".float" || name == offset_name || name == offset_name + ".float") {
            found.column = found.state = true;
        } else if (name == thread_column_name) {
            found.row = found.state = true;
        } else {
            for (const Axis &a : program.grid) {
                found.block |= a.name == name;
            }
            for (const Axis &a : program.columns) {
                found.column |= a.name == name;
            }
        }
    }

public:
    Dependence found;
    FindDependence(const TileProgram &program, const std::set<std::string> &parts)
        : program(program), parts(parts) {
    }
};

}  // namespace

Elements::Elements(const TileProgram &program, KernelParameters &parameters, Code &code)
    : program(program), parameters(parameters), code(code) {
}

Dependence Elements::dependence(const Expr &e) const {
    FindDependence finder(program, parts);
    e.accept(&finder);
    return finder.found;
}

/** Evaluates an Expr at the thread's row r, outside any element. */
class Elements::RowTranslator : public IRMutator {
    using IRMutator::visit;
    Elements &self;
    const int r;

    Expr visit(const Variable *op) override {
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

    Expr visit(const Call *op) override {
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

    Expr visit(const Max *op) override {
        return op->type == Float(32) ? device::fmax(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
    }
    Expr visit(const Min *op) override {
        return op->type == Float(32) ? device::fmin(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
    }

    /** The coordinate, kept inside the tensor: elements beyond its end are dropped
     * later, but must not fault. */
    Expr load(const Call *op) {
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

public:
    int offset = 0;  // of the element's column
    RowTranslator(Elements &self, int r)
        : self(self), r(r) {
    }
};

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

Expr Elements::without_aliases(const Expr &e) const {
    Expr result = e;
    for (const auto &a : aliases) {
        if (expr_uses_var(result, a.first)) {
            const Expr fragment = Variable::make(Float(32), a.second.fragment);
            result = substitute(a.first, a.second.alpha * fragment + a.second.gamma, result);
        }
    }
    return result;
}

LinearForm Elements::linear(const Expr &e) const {
    return linear_form(without_aliases(e), [this](const Expr &x) { return dependence(x).differs(); },
                       program.stream.name);
}

/** Splits an element's Expr into what is computed once (row or column) and the
 * rest, written with the hardware's instructions. */
class Elements::Prepare : public IRMutator {
    using IRMutator::visit;
    Elements &self;

public:
    struct PerRow {
        std::string name;
        std::array<Expr, 2> value;
    };
    struct PerColumn {
        std::string name;
        Expr source;
    };
    /** An input with an element for each row and column, read at a row's address and a column's offset. */
    struct PerElement {
        std::string name;
        const Call *load;
        int dim;  // that the column indexes, alone
        std::string registers;  // where it is, if it has been read before
    };
    std::vector<PerRow> rows;
    std::vector<PerColumn> columns;
    std::vector<PerElement> elements;

    explicit Prepare(Elements &self)
        : self(self) {
    }

    Expr once_a_row(const Expr &e) {
        if (is_const(e)) {
            return e;
        }
        rows.push_back({self.fresh("$row"), self.hoisted(e)});
        return Variable::make(e.type(), rows.back().name);
    }

    /** form, with its coefficients multiplied by `factor`, as multiply-adds. */
    Expr sum_of(const LinearForm &form, double factor = 1) {
        const auto times = [&](const Expr &c) {
            return factor == 1 || is_const_zero(c) ? c : simplify(c * static_cast<float>(factor));
        };
        std::vector<Term> terms = form.terms;
        Expr constant = form.constant;
        for (Term &t : terms) {
            self.split_column(t, constant);
        }
        Expr value = is_const_zero(constant) ? Expr() : once_a_row(times(constant));
        for (size_t i = 1; i < terms.size() && !value.defined(); i++) {
            if (is_const_one(terms[i].coefficient)) {
                std::swap(terms[0], terms[i]);
            }
        }
        for (const Term &t : terms) {
            const Expr atom = mutate_atom(t.atom);
            const Expr coefficient = times(t.coefficient);
            if (is_const_one(coefficient)) {
                value = value.defined() ? value + atom : atom;
            } else {
                const Expr c = once_a_row(coefficient);
                value = value.defined() ? device::fma(atom, c, value) : atom * c;
            }
        }
        return value.defined() ? value : make_zero(Float(32));
    }

    Expr mutate(const Expr &e) override {
        if (!self.dependence(e).differs()) {
            return once_a_row(e);
        }
        if (e.type() == Float(32) && !e.as<Variable>()) {
            const LinearForm form = self.linear(e);
            const bool itself = form.terms.size() == 1 && is_const_one(form.terms[0].coefficient) &&
                                is_const_zero(form.constant);
            return itself ? mutate_atom(form.terms[0].atom) : sum_of(form);
        }
        return mutate_atom(e);
    }

private:
    Expr mutate_atom(const Expr &e) {
        const Dependence d = self.dependence(e);
        const bool load = e.as<Call>() && e.as<Call>()->call_type == Call::Image;
        if ((load || is_quotient(e)) && d.column && !d.row && !d.fragment) {
            PerColumn c{self.fresh("$col"), e};
            columns.push_back(c);
            return Variable::make(e.type().is_float() ? Float(32) : e.type(), c.name);
        }
        return IRMutator::mutate(e);
    }

    Expr visit(const Cast *op) override {
        if (op->value.type().is_float() && op->type.is_float()) {
            return mutate(op->value);  // elements are float32; stores round
        }
        return IRMutator::visit(op);
    }

    Expr visit(const Call *op) override {
        if (op->call_type == Call::Image) {
            const int dim = self.column_dimension(op);
            if (dim < 0) {
                return op;  // both row and column: loaded at the element
            }
            elements.push_back({self.fresh("$element"), op, dim, self.preloaded(op)});
            return Variable::make(op->type.is_float() ? Float(32) : op->type, elements.back().name);
        }
        if (is_math(op, "exp")) {
            return device::exp2_approx(sum_of(self.linear(op->args[0]), log2_e));
        }
        std::vector<Expr> args;
        for (const Expr &a : op->args) {
            args.push_back(mutate(a));
        }
        const Expr e = math_call(op, args);
        return e.defined() ? e : Call::make(op->type, op->name, args, op->call_type);
    }

    Expr visit(const Div *op) override {
        if (op->type == Float(32)) {
            const bool narrow = self.narrow && above_zero(op->b);
            return mutate(op->a) *
                   (narrow ? device::reciprocal_narrow(mutate(op->b)) : device::reciprocal_approx(mutate(op->b)));
        }
        return IRMutator::visit(op);
    }
    Expr visit(const Max *op) override {
        return op->type == Float(32) ? device::fmax(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
    }
    Expr visit(const Min *op) override {
        return op->type == Float(32) ? device::fmin(mutate(op->a), mutate(op->b)) : IRMutator::visit(op);
    }

    /** a < b of integers that are linear in the column: one comparison of a row's
     * value with a constant. */
    template<typename Op>
    Expr comparison(const Op *op) {
        int64_t slope = 0;
        Expr offset;
        const auto differs = [&](const Expr &x) { return self.dependence(x).differs(); };
        if (op->a.type() == Int(32) && integer_line(op->a - op->b, differs, self.column_axis, slope, offset)) {
            const Expr at_row = once_a_row(simplify(offset + static_cast<int>(slope) * thread_column()));
            return Op::make(at_row, Variable::make(Int(32), offset_name) * static_cast<int>(-slope));
        }
        return Op::make(mutate(op->a), mutate(op->b));
    }
    Expr visit(const LT *op) override {
        return comparison(op);
    }
    Expr visit(const LE *op) override {
        return comparison(op);
    }
    Expr visit(const GT *op) override {
        return comparison(op);
    }
    Expr visit(const GE *op) override {
        return comparison(op);
    }
    Expr visit(const EQ *op) override {
        return comparison(op);
    }
    Expr visit(const NE *op) override {
        return comparison(op);
    }
};

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

/** The dimension of a load whose index is the column, if no other depends on it or on a tile's values; else -1. */
int Elements::column_dimension(const Call *load) const {
    int dim = -1;
    for (size_t d = 0; d < load->args.size(); d++) {
        const Variable *v = load->args[d].as<Variable>();
        const Dependence index = dependence(load->args[d]);
        if (v && v->name == column_axis && dim < 0) {
            dim = static_cast<int>(d);
        } else if (index.differs() || index.state) {
            return -1;
        }
    }
    const bool word = load->type.bits() == 32 || (load->type.is_float() && load->type.bits() == 16);
    return word ? dim : -1;
}

/** Registers "<name>_row", r: the address of row r at the thread's first column; "<name>_left": the columns from
 * there to the end. Clamped coordinates and products of strides once a row, not once an element. */
void Elements::set_element_rows(const std::string &name, const Call *load, int dim) {
    const std::string &buffer = load->param.name();
    const int bytes = load->type.bytes();
    const auto known = std::find_if(row_starts.begin(), row_starts.end(),
                                    [&](const Preloaded &s) { return equal(s.load, Expr(load)); });
    const bool streamed = column_axis == program.stream.name, is_new = known == row_starts.end();
    const std::string start_name = is_new ? name + "_start" : known->name;
    if (is_new && streamed) {
        row_starts.push_back({load, start_name});
    }
    for (int r = 0; r < 2; r++) {
        Expr index = make_zero(Int(64));
        for (size_t d = 0; d < load->args.size(); d++) {
            if (static_cast<int>(d) != dim) {
                const Dependence dep = dependence(load->args[d]);
                Expr at = row_value(load->args[d], r);
                at = dep.row ? max(min(at, parameters.extent(buffer, d) - 1), 0) : at;
                index = index + cast<int64_t>(at) * parameters.stride(buffer, d);
            }
        }
        const Expr start = parameters.pointer(buffer) + cast<uint64_t>(index * bytes);
        const Expr column = cast<uint64_t>(cast<int64_t>(first_column()) * parameters.stride(buffer, dim) * bytes);
        if (streamed) {
            if (is_new) {
                block_start.push_back(device::set(start_name, r, start));
            }
            code.set(name + "_row", r, device::get(UInt(64), start_name, r) + column);
        } else {
            code.set(name + "_row", r, start + column);
        }
    }
    code.set(name + "_left", parameters.extent(buffer, dim) - first_column());
}

/** The element of row r and the column `offset` behind the thread's first; 0 beyond the input's end. */
Expr Elements::element_of(const std::string &name, const Call *load, int dim, int r, int offset) const {
    const std::string &buffer = load->param.name();
    const Expr distance = parameters.stride(buffer, dim) * IntImm::make(Int(64), offset * load->type.bytes());
    const Expr address = device::get(UInt(64), name + "_row", r) + cast<uint64_t>(distance);
    return device::load_global_if(load->type, address, Code::get_int(name + "_left") > offset);
}

void Elements::for_each_pair(const Expr &e, const std::string &axis, int columns,
                             const std::function<void(int, int, const Expr &, const Expr &)> &f) {
    use_columns(axis);
    Prepare prepare(*this);
    const Expr prepared = prepare.mutate(without_aliases(e));
    const auto element = [&](int r, int group, int parity) {
        std::map<std::string, Expr> bindings;
        const int offset = 8 * group + parity;
        bindings[offset_name] = offset;
        bindings[offset_name + ".float"] = static_cast<float>(offset);
        for (const auto &p : prepare.rows) {
            bindings[p.name] = p.value[r];
        }
        for (const auto &x : prepare.elements) {
            bindings[x.name] = x.registers.empty() ? element_of(x.name.substr(1), x.load, x.dim, r, offset)
                                                   : device::get(x.load->type.is_float() ? Float(32) : x.load->type,
                                                                 x.registers, 4 * group + 2 * r + parity);
        }
        for (const auto &c : prepare.columns) {
            bindings[c.name] = device::get(c.source.type().is_float() ? Float(32) : c.source.type(), c.name.substr(1), parity);
        }
        for (const TileValue &v : program.values) {
            if (v.dims.size() == 2 && expr_uses_var(prepared, v.name)) {
                const int n = 4 * group + 2 * r + parity;
                const Expr from = foreign ? foreign(v.name, n) : Expr();
                bindings[v.name] = from.defined() ? from : device::get(Float(32), register_of(v.name), n);
            }
        }
        for (const std::string &part : parts) {
            bindings[part] = device::get(Float(32), register_of(part), 4 * group + 2 * r + parity);
        }
        RowTranslator translator(*this, r);
        translator.offset = offset;
        return translator.mutate(substitute(bindings, prepared));
    };
    for (const auto &x : prepare.elements) {
        if (x.registers.empty()) {
            set_element_rows(x.name.substr(1), x.load, x.dim);
        }
    }
    const bool costly = apart.defined() && is_costly(prepared);
    for (int group = 0; group < (columns + 7) / 8; group++) {
        if (costly) {
            code.run("keep_apart", {}, {apart});
        }
        for (const auto &c : prepare.columns) {
            for (int parity = 0; parity < 2; parity++) {
                RowTranslator translator(*this, 0);
                translator.offset = 8 * group + parity;
                const Expr staged = staged_column ? staged_column(c.source, translator.offset) : Expr();
                code.set(c.name.substr(1), parity, staged.defined() ? staged : translator.mutate(c.source));
            }
        }
        for (int r = 0; r < 2; r++) {
            f(r, group, element(r, group, 0), element(r, group, 1));
        }
    }
}

std::string Elements::preloaded(const Call *load) const {
    for (const Preloaded &p : preloads) {
        if (equal(p.load, Expr(load))) {
            return p.name;
        }
    }
    return "";
}

void Elements::preload(const TileOp &op) {
    if (program.value(op.dst).dims.size() < 2) {
        return;
    }
    const TileDim &columns = program.value(op.dst).dims[1];
    use_columns(columns.axis);
    Prepare prepare(*this);
    prepare.mutate(without_aliases(op.expr));
    for (const auto &x : prepare.elements) {
        if (!x.registers.empty()) {
            continue;
        }
        const std::string name = x.name.substr(1);
        set_element_rows(name, x.load, x.dim);
        for (int n = 0; n < (columns.size + 7) / 8 * 4; n++) {
            code.set(name + "_value", n, element_of(name, x.load, x.dim, n / 2 % 2, n / 4 * 8 + n % 2));
        }
        preloads.push_back({x.load, name + "_value"});
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

/** value = alpha * u + gamma with u a fragment: later uses read u. When the value
 * is a sum, u = atom + (rest / alpha) costs one multiply-add an element. */
bool Elements::define_alias(const TileOp &op) {
    const TileDim &columns = program.value(op.dst).dims[1];
    use_columns(columns.axis);
    LinearForm form = linear(op.expr);
    size_t lead = form.terms.size();
    for (size_t i = form.terms.size(); i-- > 0;) {
        const Variable *v = form.terms[i].atom.as<Variable>();
        if (positive(form.terms[i].coefficient) && !(v && v->name == column_axis + ".float")) {
            lead = i;
        }
    }
    if (lead == form.terms.size()) {
        return false;
    }
    const bool is_plain = is_const_one(form.terms[lead].coefficient) && is_const_zero(form.constant);
    if (operands.count(op.dst) || (is_plain && !form.terms[lead].atom.as<Variable>())) {
        return false;
    }
    std::swap(form.terms[0], form.terms[lead]);
    Alias alias{"", form.terms[0].coefficient, form.constant};
    const Variable *fragment = form.terms[0].atom.as<Variable>();
    if (form.terms.size() == 1 && fragment && consumable.count(fragment->name)) {
        alias.fragment = fragment->name;
        aliases[op.dst] = alias;
        return true;
    }
    LinearForm scaled_form;
    scaled_form.constant = make_zero(Float(32));
    for (Term t : form.terms) {
        split_column(t, alias.gamma);
        t.coefficient = equal(t.coefficient, alias.alpha) ? make_one(Float(32)) : simplify(t.coefficient / alias.alpha);
        scaled_form.terms.push_back(t);
    }
    Expr u;
    for (const Term &t : scaled_form.terms) {
        const Expr part = scaled(t.coefficient, t.atom);
        u = u.defined() ? u + part : part;
    }
    alias.fragment = fragment && consumable.count(fragment->name) ? fragment->name : op.dst + ".part";
    const std::string target = alias.fragment;
    for_each_pair(u, columns.axis, columns.size, [&](int r, int group, const Expr &a, const Expr &b) {
        code.set(register_of(target), 4 * group + 2 * r, a);
        code.set(register_of(target), 4 * group + 2 * r + 1, b);
    });
    parts.insert(target);
    aliases[op.dst] = alias;
    return true;
}

/** value = select(guard, value, -inf) on an alias masks its fragment. */
bool Elements::mask_alias(const TileOp &op) {
    const auto alias = aliases.find(op.dst);
    const Select *chosen = op.expr.as<Select>();
    if (alias == aliases.end() || !chosen || !equal(chosen->false_value, minus_infinity())) {
        return false;
    }
    const Variable *v = chosen->true_value.as<Variable>();
    if (!v || v->name != op.dst) {
        return false;
    }
    const std::string &u = alias->second.fragment;
    assign(u, select(chosen->condition, Variable::make(Float(32), u), minus_infinity()), program.value(op.dst).dims[1]);
    return true;
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
    assign(op.dst, op.expr, dst.dims[1]);
    narrow = false;
    aliases.erase(op.dst);
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
