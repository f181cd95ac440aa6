#include "FeatureRows.h"

#include "support/Error.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

const char *const position_name = "$position";

std::string outer_name(size_t n) {
    return "$outer" + std::to_string(n);
}

namespace {

const char *const feature_name = "$feature";
const int width = 8;  // elements of a chunk

std::string chunk_name(int chunk) {
    return "$chunk." + std::to_string(chunk);
}

std::string result_name(const TileOp &reduction) {
    return "$" + plain(reduction.dst);
}

Type register_type(Type t) {
    return t.is_bool() ? Int(32) : t.is_float() && t.bits() == 16 ? Float(32) : t;
}

/** Replaces tile values by what they are, the axes and outer indices by names of their own. */
class Inline : public IRMutator {
    using IRMutator::visit;
    const PreparedTile &tile;

    Expr visit(const Variable *op) override {
        if (op->name == tile.axis) {
            return Variable::make(Int(32), position_name);
        }
        if (op->name == tile.feature) {
            return Variable::make(Int(32), feature_name);
        }
        for (const TileOp &o : tile.ops) {
            if (o.dst == op->name) {
                return o.kind == TileOp::Kind::Reduce ? Variable::make(op->type, result_name(o)) : mutate(o.expr);
            }
        }
        return op;
    }

public:
    explicit Inline(const PreparedTile &tile) : tile(tile) {
    }
    Expr mutate(const Expr &e) override {
        for (size_t n = 0; n < tile.outer.size(); n++) {
            if (equal(e, tile.outer[n].index)) {
                return Variable::make(Int(32), outer_name(n));
            }
        }
        return IRMutator::mutate(e);
    }
    using IRMutator::mutate;
};

bool uses_any(const Expr &e, const std::set<std::string> &names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string &name) { return expr_uses_var(e, name); });
}

/** The factors of a product, and a sign chosen by a condition as one. */
void add_factors(const Expr &e, std::vector<Expr> &factors) {
    const auto negated = [](const Expr &x, const Expr &of) {
        const Sub *difference = x.as<Sub>();
        const Mul *product = x.as<Mul>();
        return (difference && is_const_zero(difference->a) && equal(difference->b, of)) ||
               (product && is_const(product->b, -1) && equal(product->a, of));
    };
    const Mul *product = e.as<Mul>();
    const Select *chosen = e.as<Select>();
    if (product) {
        add_factors(product->a, factors);
        add_factors(product->b, factors);
    } else if (chosen && negated(chosen->true_value, chosen->false_value)) {
        add_factors(chosen->false_value, factors);
        factors.push_back(select(chosen->condition, -1.0f, 1.0f));
    } else if (chosen && negated(chosen->false_value, chosen->true_value)) {
        add_factors(chosen->true_value, factors);
        factors.push_back(select(chosen->condition, 1.0f, -1.0f));
    } else {
        factors.push_back(e);
    }
}

bool is_square_root(const Expr &e) {
    const Call *call = e.as<Call>();
    return call && call->call_type == Call::PureExtern && call->name == "sqrt_f32";
}

}  // namespace

RowLanes::RowLanes(int features) : chunks(features / width) {
    strobe_internal_assert(features % width == 0) << features;
    const int padded = (features + 63) / 64 * 8;
    lanes = padded <= 8 ? 8 : padded <= 16 ? 16 : 32;
    per_lane = (padded + lanes - 1) / lanes;
}

Expr RowLanes::chunk(int n) const {
    return thread_index() % lanes + n * lanes;
}

/** Takes an Expr apart: what changes less often than the element is held in registers. */
class FeatureRows::Place : public IRMutator {
    using IRMutator::visit;
    FeatureRows &self;
    const std::string &chunk;
    Level level;
    bool element;  // the result differs between elements
    const bool first;

    /** Of a product, what changes less often is multiplied first. Undefined if it all changes, or does not. */
    Expr product(const Expr &e) {
        std::vector<Expr> factors;
        add_factors(e, factors);
        if (factors.size() < 2) {
            return Expr();
        }
        Expr often, seldom;
        for (const Expr &f : factors) {
            if (changes(f)) {
                often = often.defined() ? often * mutate(f) : mutate(f);
            } else {
                seldom = seldom.defined() ? seldom * f : f;
            }
        }
        return often.defined() && seldom.defined() ? often * mutate(seldom) : Expr();
    }
    bool changes(const Expr &e) const {
        return self.level_of(e) >= level && !is_const(e);
    }

    Expr visit(const Mul *op) override {
        const Expr e = op->type == Float(32) ? product(op) : Expr();
        return e.defined() ? e : IRMutator::visit(op);
    }
    Expr visit(const Select *op) override {
        const Expr e = op->type == Float(32) ? product(op) : Expr();
        return e.defined() ? e : IRMutator::visit(op);
    }
    Expr visit(const Div *op) override {
        if (op->type != Float(32)) {
            return IRMutator::visit(op);
        }
        if (is_square_root(op->b)) {
            return mutate(op->a) * device::rsqrt_approx(mutate(op->b.as<Call>()->args[0]));
        }
        return mutate(op->a) * (is_const(op->b) ? simplify(1.0f / op->b) : device::reciprocal_approx(mutate(op->b)));
    }
    Expr visit(const Cast *op) override {
        const Expr value = mutate(op->value);
        return op->type == Float(32) && value.type() == Float(32) ? value : Cast::make(op->type, value);
    }

public:
    Place(FeatureRows &self, const std::string &chunk, Level level, bool element, bool first)
        : self(self), chunk(chunk), level(level), element(element), first(first) {
    }

    Expr mutate(const Expr &e) override {
        if (is_const(e) || e.as<Variable>()) {
            return e;
        }
        const Call *call = e.as<Call>();
        if (call && call->call_type == Call::Image) {
            return self.load(call, chunk, first);
        }
        const Level own = self.level_of(e);
        const bool own_element = expr_uses_var(e, chunk);
        if (own >= level && own_element == element) {
            return IRMutator::mutate(e);
        }
        Place inside(self, chunk, own, own_element, first);
        return self.hold(e, inside.IRMutator::mutate(e), first);
    }
    using IRMutator::mutate;
};

FeatureRows::FeatureRows(const TileProgram &program, const PreparedTile &tile, KernelParameters &parameters,
                         Elements &elements, const std::set<std::string> &middle, const std::set<std::string> &inner,
                         int rows)
    : program(program), parameters(parameters), elements(elements), prefix(plain(tile.name) + "_x"),
      features(program.value(tile.name).dims[1].size), lanes(features), sometimes(middle) {
    for (int n = 0; n < lanes.per_lane; n++) {
        const std::string name = prefix + "_chunk";
        section(Level::Once).first.push_back(device::set(name, n, min(lanes.chunk(n), lanes.chunks - 1)));
        elements.bindings[chunk_name(n)] = [name, n] { return Code::get_int(name, n); };
    }
    for (int row = 0; row < rows; row++) {
        compute_row(tile, inner, row);
    }
    if (!whole.empty()) {
        Expr all = whole[0];
        for (size_t n = 1; n < whole.size(); n++) {
            all = all && whole[n];
        }
        elements.kernel_values.emplace_back(prefix + "_whole", select(all, 1, 0));
    }
}

void FeatureRows::compute_row(const PreparedTile &tile, const std::set<std::string> &inner, int row) {
    std::map<std::string, Expr> names;
    for (const std::string &name : inner) {
        names[name] = Variable::make(Int(32), name_in_row(name, row));
        often.insert(name_in_row(name, row));
    }
    Inline inlined(tile);
    for (const TileOp &op : tile.ops) {
        if (op.kind == TileOp::Kind::Reduce) {
            const std::string result = name_in_row(result_name(op), row);
            reduce(op, inlined.mutate(op.expr), names, result);
            names[result_name(op)] = Variable::make(op.expr.type(), result);
        }
    }
    const Expr map = tile.ops.back().expr;
    const Expr value = inlined.mutate(map.as<Cast>()->value);
    const std::string type = map.type().is_bfloat() ? "bf16" : "f16";
    for (int chunk = 0; chunk < lanes.per_lane; chunk++) {
        std::vector<Expr> values;
        for (int element = 0; element < width; element++) {
            values.push_back(placed(at_element(value, names, chunk, element), chunk_name(chunk)));
        }
        Expr kept = Variable::make(Int(32), name_in_row("$inside", row)) != 0;
        if (lanes.per_lane * lanes.lanes > lanes.chunks) {
            kept = kept && lanes.chunk(chunk) < lanes.chunks;
        }
        for (int word = 0; word < width / 2; word++) {
            const Expr pair = device::pack(type, values[2 * word], values[2 * word + 1]);
            section(Level::Each)
                .rest.push_back(device::set(packed(row, chunk), word,
                                            elements.row_value(select(kept, pair, make_zero(UInt(32))), 0)));
        }
    }
}

/** A row's reduction over its features, in the register that `result` is bound to. */
void FeatureRows::reduce(const TileOp &op, const Expr &body, const std::map<std::string, Expr> &row,
                         const std::string &result) {
    const Type type = op.expr.type();
    const std::string name = fresh();
    std::vector<Stmt> &code = section(Level::Each).rest;
    const Expr own = device::get(type, name, 0);
    code.push_back(device::set(name, 0, identity_of(op.op, type)));
    for (int chunk = 0; chunk < lanes.per_lane; chunk++) {
        const bool all = (chunk + 1) * lanes.lanes <= lanes.chunks;
        for (int element = 0; element < width; element++) {
            Expr value = placed(at_element(body, row, chunk, element), chunk_name(chunk));
            value = all ? value : select(lanes.chunk(chunk) < lanes.chunks, value, identity_of(op.op, type));
            code.push_back(device::set(name, 0, elements.row_value(combine(op.op, own, value), 0)));
        }
    }
    for (int mask = lanes.lanes / 2; mask > 0; mask /= 2) {
        code.push_back(device::set(name, 0, combine(op.op, own, device::shuffle_xor(own, mask))));
    }
    often.insert(result);
    elements.bindings[result] = [type, name] { return device::get(type, name, 0); };
}

std::string FeatureRows::packed(int row, int chunk) const {
    return prefix + "_row" + std::to_string(row) + "_" + std::to_string(chunk);
}

FeatureRows::Level FeatureRows::level_of(const Expr &e) const {
    return uses_any(e, often) ? Level::Each : uses_any(e, sometimes) ? Level::Between : Level::Once;
}

Expr FeatureRows::at_element(const Expr &e, const std::map<std::string, Expr> &row, int chunk, int element) const {
    std::map<std::string, Expr> at = row;
    at[feature_name] = Variable::make(Int(32), chunk_name(chunk)) * width + element;
    Scope<Interval> bounds;
    bounds.push(chunk_name(chunk), Interval(0, lanes.chunks - 1));
    return simplify(substitute(at, e), true, bounds);
}

Expr FeatureRows::placed(const Expr &e, const std::string &chunk) {
    return Place(*this, chunk, Level::Each, true, false).mutate(e);
}

/** The value in a register, set as often as it changes. */
Expr FeatureRows::hold(const Expr &source, const Expr &value, bool first) {
    const auto found = std::find_if(held.begin(), held.end(), [&](const Held &h) {
        return (h.first || !first) && equal(h.source, source);
    });
    if (found != held.end()) {
        return found->value;
    }
    const std::string name = fresh();
    Section &s = section(level_of(source));
    const Type type = register_type(source.type());
    const Expr translated = elements.row_value(value, 0);
    (first ? s.first : s.rest)
        .push_back(device::set(name, 0, source.type().is_bool() ? select(translated, 1, 0) : translated));
    const Expr result = device::get(type, name, 0);
    held.push_back({source, source.type().is_bool() ? result != 0 : result, first});
    return held.back().value;
}

/** Where an index points at every chunk of a row; none if that is not known here. */
const std::optional<FeatureRows::Indices> &FeatureRows::indices_of(const Expr &e, const std::string &chunk) {
    for (const auto &known : known_indices) {
        if (equal(known.first, e)) {
            return known.second;
        }
    }
    std::optional<Indices> indices = Indices();
    for (int n = 0; n < lanes.chunks && indices; n++) {
        const auto at = as_const_int(simplify(substitute(chunk, n, e)));
        if (at && *at >= 0 && *at < 1 << 30) {
            indices->push_back(static_cast<int>(*at));
        } else {
            indices.reset();
        }
    }
    known_indices.emplace_back(e, indices);
    return known_indices.back().second;
}

/** Kept inside the tensor: what is read there may be anything, but must not fault. */
Expr FeatureRows::inside(const Call *op, size_t d, const Expr &at) {
    return at.as<Variable>() ? at : max(min(at, parameters.extent(op->param.name(), static_cast<int>(d)) - 1), 0);
}

Expr FeatureRows::load(const Call *op, const std::string &chunk, bool first) {
    const Type type = op->type;
    const bool fits = type.bits() == 32 || (type.is_float() && type.bits() == 16);
    const bool elsewhere = std::any_of(op->args.begin() + 1, op->args.end(),
                                       [&](const Expr &at) { return expr_uses_var(at, chunk); });
    if (fits && !elsewhere && !first && expr_uses_var(op->args[0], chunk)) {
        if (const auto &at = indices_of(op->args[0], chunk)) {
            const int within = at->front() % width;
            Indices starts = *at;
            bool same = true;
            for (int &start : starts) {
                same &= start % width == within;
                start -= within;
            }
            if (same) {
                const std::string name = chunk_of(op, chunk, starts, op->args[0] - within).name;
                if (type.bits() == 32) {
                    return device::get(type, name, within);
                }
                const Expr word = device::get(UInt(32), name, within / 2);
                if (type.is_bfloat()) {
                    return reinterpret(Float(32), within % 2 ? word & u32(Expr(0xFFFF0000u)) : word << u32(16));
                }
                return device::call(Float(32), "from_f16", {}, {within % 2 ? word >> u32(16) : word});
            }
        }
    }
    std::vector<Expr> args;
    for (size_t d = 0; d < op->args.size(); d++) {
        Place index(*this, chunk, level_of(op->args[d]), expr_uses_var(op->args[d], chunk), true);
        args.push_back(inside(op, d, index.mutate(op->args[d])));
    }
    const Expr value = Call::make(type, op->name, args, Call::Image, op->func, op->value_index, op->image, op->param);
    return hold(op, value, first);
}

/** The address of the element with index 0 in the innermost dimension. */
Expr FeatureRows::address_of(const Call *op, const std::string &chunk) {
    const std::string &buffer = op->param.name();
    const Expr bytes = IntImm::make(Int(64), op->type.bytes());
    Expr source = Variable::make(UInt(64), "pointer of " + buffer), address = parameters.pointer(buffer);
    for (const Level level : {Level::Once, Level::Between, Level::Each}) {
        bool any = level == Level::Once;
        for (size_t d = 1; d < op->args.size(); d++) {
            const Expr &arg = op->args[d];
            if (level_of(arg) != level) {
                continue;
            }
            any = true;
            const Expr at = inside(op, d, Place(*this, chunk, level, false, true).mutate(arg));
            const Expr stride = parameters.stride(buffer, static_cast<int>(d));
            source = source + cast<uint64_t>(arg) * Variable::make(UInt(64), "stride " + std::to_string(d));
            address = address + cast<uint64_t>(cast<int64_t>(at) * stride * bytes);
        }
        if (any) {
            address = hold(source, address, true);
        }
    }
    return address;
}

/** The arguments that let whole chunks be loaded. */
void FeatureRows::require_whole(const Call *op, const Indices &starts) {
    const std::string &buffer = op->param.name();
    const int unit = 16 / op->type.bytes();
    const auto require = [&](const Expr &e) {
        if (std::none_of(whole.begin(), whole.end(), [&](const Expr &w) { return equal(w, e); })) {
            whole.push_back(e);
        }
    };
    require((parameters.pointer(buffer) & UIntImm::make(UInt(64), 15)) == make_zero(UInt(64)));
    require(parameters.stride(buffer, 0) == make_one(Int(64)));
    for (size_t d = 1; d < op->args.size(); d++) {
        require((parameters.stride(buffer, static_cast<int>(d)) & IntImm::make(Int(64), unit - 1)) ==
                make_zero(Int(64)));
    }
    require(parameters.extent(buffer, 0) >= *std::max_element(starts.begin(), starts.end()) + width);
}

const FeatureRows::Chunk &FeatureRows::chunk_of(const Call *op, const std::string &chunk, const Indices &starts,
                                                const Expr &start) {
    for (const Chunk &c : loaded) {
        const Call *other = c.load.as<Call>();
        bool same = c.chunk == chunk && other->name == op->name && c.starts == starts;
        for (size_t d = 1; same && d < op->args.size(); d++) {
            same = equal(other->args[d], op->args[d]);
        }
        if (same) {
            return c;
        }
    }
    const std::string name = fresh(), &buffer = op->param.name();
    const Expr first = Place(*this, chunk, Level::Once, true, true).mutate(simplify(start));
    const Expr begin = hold(first, first, true);
    const Expr address = address_of(op, chunk);
    Section &s = section(level_of(op));
    const int bytes = op->type.bytes();
    const Expr from = elements.row_value(address + cast<uint64_t>(begin * bytes), 0);
    for (int word = 0; word < width * bytes / 4; word += 4) {
        s.chunked.push_back(device::run("load_row", {name, std::to_string(word)},
                                        {from + UIntImm::make(UInt(64), word * 4)}));
    }
    std::vector<Expr> bits;
    const Type raw = bytes == 2 ? UInt(16) : op->type;
    for (int n = 0; n < width; n++) {
        const Expr at = max(min(elements.row_value(begin, 0) + n, parameters.extent(buffer, 0) - 1), 0);
        bits.push_back(device::load_global(raw, elements.row_value(address, 0),
                                           cast<int64_t>(at) * parameters.stride(buffer, 0)));
    }
    s.single.push_back(device::run("keep_apart", {}, {parameters.extent(buffer, 0)}));
    for (int word = 0; word < width * bytes / 4; word++) {
        const Expr value = bytes == 4 ? bits[word] : u32(bits[2 * word]) | (u32(bits[2 * word + 1]) << u32(16));
        s.single.push_back(device::set(name, word, value));
    }
    require_whole(op, starts);
    loaded.push_back({op, chunk, starts, name});
    return loaded.back();
}

/** All loads come before what waits for one of them. */
Stmt FeatureRows::put_together(const std::vector<const Section *> &parts) const {
    std::vector<Stmt> all, chunked, single, rest;
    for (const Section *s : parts) {
        for (const auto &[to, from] : {std::pair(&all, &s->first), std::pair(&chunked, &s->chunked),
                                       std::pair(&single, &s->single), std::pair(&rest, &s->rest)}) {
            to->insert(to->end(), from->begin(), from->end());
        }
    }
    if (!chunked.empty()) {
        all.push_back(IfThenElse::make(Variable::make(Int(32), prefix + "_whole") != 0, Block::make(chunked),
                                       Block::make(single)));
    }
    all.insert(all.end(), rest.begin(), rest.end());
    return all.empty() ? device::run("nothing") : Block::make(all);
}

Stmt FeatureRows::once() const {
    return put_together({&sections[0]});
}

Stmt FeatureRows::each() const {
    return put_together({&sections[1], &sections[2]});
}

}  // namespace strobe::cuda
