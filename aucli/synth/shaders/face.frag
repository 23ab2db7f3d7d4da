#version 330
// SURFACE: 0 face skin, 1 head and neck, 2 eyes, lashes and mouth, 3 hair, 4 glasses, 5 beard
#define SURFACE @SURFACE
in vec3 view_position; in vec3 view_normal; in float open_sky; in vec2 at; flat in float kind;
in vec3 rest_position; in vec4 light_position;
uniform sampler2D mask_colour, mask_makeup, mask_upper, mask_lower, noise_map, shadow_map;
uniform vec3 skin, lip_colour, hair_colour, brow_colour, beard_colour, cloth_colour, iris_colour;
uniform vec3 sclera_colour, blush_colour, shadow_colour, tooth_colour, gum_colour, glasses_colour;
uniform vec3 lips;          // strength, softness, gloss
uniform vec4 brow;          // shift down, threshold, softness, opacity
uniform vec4 brow_form;     // tilt, arch, raggedness of the hair, density of the inner end
uniform vec4 beard;         // opacity, stubble frequency, threshold, share of grey hairs
uniform vec4 beard_form;    // half width, moustache, height of the cheeks, overhang over the lip
uniform vec4 makeup;        // blush, eye shadow, rings under the eyes, liner
uniform vec4 blotches;      // low, mid, high frequency, freckles
uniform vec4 seed;
uniform vec4 folds_upper;   // forehead, glabella, crow's feet, nose
uniform vec4 folds_lower;   // nasolabial, chin, mouth corners, inner forehead
uniform vec4 fold_look;     // darkening, bump, blur, unused
uniform vec2 fold_shift;
uniform vec4 hairline;      // front height, nape height, noise, side height
uniform vec4 hair_shape;    // curve of the front, place of the parting, fall from it, soft edge
uniform vec4 hair_form;     // depth where front becomes back, strand frequency, wave, wave frequency
uniform vec3 key_direction, key_colour, fill_direction, fill_colour, sky_colour, ground_colour;
uniform vec4 gloss;         // strength, power, subsurface, weight of openness
uniform vec4 glare;         // of a lens: colour, opacity
uniform float pupil, shadow, cloth_height, hat, shell, shell_share, pores;
out vec4 colour;

float noise(vec2 p, int octave) { return (texture(noise_map, p)[octave] - 0.5) * 2.7; }

#if SURFACE == 0 || SURFACE == 5
// How much beard grows at a point of the map: the mask within this person's form of beard.
float beard_field(vec2 p, float mask) {
    float away = abs(p.x - 0.5);
    float chin = (1.0 - smoothstep(beard_form.x - 0.03, beard_form.x + 0.03, away))
               * smoothstep(0.0, 0.05, beard_form.z - p.y + 0.35 * max(away - 0.13, 0.0));
    float lip = beard_form.y * smoothstep(0.425, 0.45, p.y)
              * (1.0 - smoothstep(0.12, 0.17, away));
    float low = 1.0 - smoothstep(0.435, 0.46, p.y - 0.3 * away);
    float side = smoothstep(0.11, 0.15, away);
    return mask * max(chin * max(low, side), lip);
}
#endif

void main() {
    vec3 n = normalize(view_normal);
    vec3 v = normalize(-view_position);
    if (dot(n, v) < 0.0 && kind > 1.5) n = -n;
    float shine = gloss.x, power = gloss.y, soft = gloss.z, open = open_sky, folds = 0.0;
    vec3 albedo = vec3(1.0);
    vec2 skin_at = vec2(rest_position.x * 0.06 + 0.5, rest_position.y * 0.06)
                 + rest_position.z * vec2(0.013, 0.021) + seed.xy;
#if SURFACE == 3
    float y = rest_position.y, x = abs(rest_position.x), z = rest_position.z;
    float front = smoothstep(hair_form.x - 2.0, hair_form.x + 3.0, z);
    float wave = hair_form.z * sin(rest_position.x * hair_form.w + seed.z * 6.0)
               + hairline.z * noise(vec2(rest_position.x * 0.05 + seed.z, seed.w), 0);
    float aside = abs(rest_position.x - hair_shape.y);
    // From the parting down to the temples, most of the way beside it.
    float parted = hair_shape.z * (1.0 - exp(-aside * 0.9)) * (0.6 + 0.1 * aside);
    float edge = mix(hairline.y, hairline.x + wave - hair_shape.x * x * x * 0.03 - parted, front);
    if (x > 7.2 && z > -1.5 && y < 5.0) discard;  // the ears stay free
    if (front > 0.02 && front < 0.999)
        edge = mix(edge, hairline.w, smoothstep(6.0, 7.3, x) * (1.0 - front * 0.3));
    float strand = noise(vec2(rest_position.x * hair_form.y * 0.05 + z * 0.02 + seed.x,
                              y * 0.03 + z * 0.05), 2)
                 + 0.3 * noise(vec2(rest_position.x * 0.9 + z * 0.4, y * 0.08 + z * 0.1), 3);
    if (hat < 0.5) edge += 0.25 * noise(vec2(rest_position.x * 0.3 + seed.x, z * 0.3), 2)
                         + 0.9 * shell * strand;  // strands end at different heights
    if (y < edge) discard;
    // Thin at the edge: single hairs, and the skin between them.
    if (hat < 0.5 && y < edge + hair_shape.w * front
        && (y - edge) / hair_shape.w < 0.5 + 0.5 * noise(vec2(rest_position.x * 0.45
                                                + 0.03 * y, y * 0.05 + z * 0.1) + seed.zw, 2))
        discard;
    if (hat > 0.5) { albedo = hair_colour * (0.9 + 0.12 * noise(skin_at * 4.0, 1)); shine *= 0.15; }
    else {
        // Locks, darker between them and towards the scalp.
        float lock = noise(vec2(rest_position.x * 0.11 + 0.06 * z + 0.02 * strand, y * 0.02)
                           + seed.yx, 1);
        albedo = hair_colour * (1.0 + 0.38 * strand + 0.22 * lock)
               * mix(0.75, 1.0, smoothstep(-0.2, 1.2, shell + 0.6 * lock));
        n = normalize(n + vec3(0.3 * lock, 0.0, 0.0));
        shine = 0.25 * (0.6 + 0.5 * strand); power = 25.0;
        n = normalize(n + 0.25 * strand * vec3(0.7, 0.2, 0.0));
    }
    soft = 0.0; open = mix(0.55, 1.0, smoothstep(0.0, 0.8, y - edge));
#elif SURFACE <= 1
    albedo = skin;
    float low = noise(skin_at, 0), mid = noise(skin_at * 1.7 + 0.3, 1);
    float high = noise(skin_at * 3.1, 2), grain = noise(skin_at * 3.0, 3);
    albedo *= 1.0 + blotches.x * low * vec3(0.5, 1, 1) + blotches.y * mid * vec3(0.6, 1, 1)
                  + blotches.z * 0.6 * (high + grain);
#if SURFACE == 0
    // Pores and fine hairs scatter what shines.
    n = normalize(n + pores * vec3(high, grain, 0.0));
    albedo *= 1.0 + 0.5 * pores * (high * vec3(0.6, 1.0, 1.0) + 0.6 * grain);
    shine *= 1.0 + 1.2 * pores * grain;
    vec4 base = texture(mask_colour, at), makeup_at = texture(mask_makeup, at);
    vec2 fold_at = at + fold_shift;
    vec4 upper = texture(mask_upper, fold_at, fold_look.z);
    vec4 lower = texture(mask_lower, fold_at, fold_look.z);
    float freckle = smoothstep(0.95, 1.5, noise(skin_at * 5.0 + 0.1, 2)) * makeup_at.z;
    albedo *= 1.0 - blotches.w * freckle * vec3(0.5, 0.7, 0.8);
    albedo = mix(albedo, albedo * blush_colour, base.w * makeup.x);
    albedo = mix(albedo, shadow_colour * mix(vec3(1), skin, 0.6), makeup_at.x * makeup.y);
    albedo *= 1.0 - makeup.z * makeup_at.y * vec3(0.8, 1, 0.9);
    folds = dot(upper, folds_upper) + dot(lower, folds_lower);
    float lip = smoothstep(0.5 - lips.y, 0.5 + lips.y, base.x + 0.05 * mid);
    albedo = mix(albedo, lip_colour * (1.0 + 0.12 * high), lip * lips.x);
    shine = mix(shine, shine * 1.5 + lips.z, lip); folds *= 1.0 - lip;
    float away = abs(at.x - 0.5) - 0.15, reach = away / 0.11;
    float rise = brow.x + brow_form.x * away + brow_form.y * (1.0 - reach * reach);
    float brow_field = texture(mask_colour, vec2(at.x, at.y - rise)).y;
    float inside = smoothstep(0.02, 0.2, brow_field);
    // Hairs stand up at the inner end and lie down towards the temple.
    float lean = mix(1.25, 0.1, clamp(reach * 0.5 + 0.5, 0.0, 1.0));
    vec2 grown = vec2(away * cos(lean) + at.y * sin(lean), at.y * cos(lean) - away * sin(lean));
    float hairs = noise(vec2(grown.x * 0.7, grown.y * 3.6) + seed.zw, 2);
    brow_field *= mix(brow_form.w, 1.0, smoothstep(-1.0, -0.5, reach))
                * smoothstep(-1.05, -0.75, reach + 0.12 * hairs);
    float brow_hair = smoothstep(brow.y - brow.z, brow.y + brow.z,
                                 brow_field + (brow_form.z * hairs + 0.06 * grain) * inside);
    albedo = mix(albedo, brow_colour * (1.0 + 0.25 * hairs), brow_hair * brow.w);
    shine *= 1.0 - 0.8 * brow_hair;
    float stubble = noise(vec2(at.x, at.y * 0.6) * beard.y + seed.xw, 3) * 0.6
                  + noise(at * beard.y * 0.7 + seed.yz, 2) * 0.4;
    float field = beard_field(at, base.z);
    float hairy = smoothstep(beard.z - 0.25, beard.z + 0.25,
                             field + 0.3 * low * field + 0.12 * stubble * step(0.02, field))
                * (1.0 - lip) * smoothstep(0.0, 0.2, field);
    vec3 hair_here = mix(beard_colour, vec3(0.55), step(1.0 - beard.w, 0.5 + 0.35 * stubble));
    albedo = mix(albedo, hair_here * (1.0 + 0.3 * stubble),
                 hairy * beard.x * clamp(0.75 + 0.5 * stubble, 0.0, 1.0));
    shine *= 1.0 - 0.7 * hairy * beard.x;
    albedo *= 1.0 - max(makeup.w, 0.5) * makeup_at.w;
    albedo *= clamp(1.0 - fold_look.x * folds * vec3(0.75, 0.95, 1.0), 0.2, 1.0);
#else
    if (rest_position.y < cloth_height) {
        albedo = cloth_colour * (1.0 + 0.15 * mid); shine *= 0.1; soft = 0.0;
    }
#endif
#elif SURFACE == 2
    if (kind < 2.5) {  // inside of the mouth
        albedo = vec3(0.30, 0.08, 0.07); open *= rest_position.z < 8.5 ? 0.12 : 0.35;
        shine *= 0.5; soft = 0.0;
    } else if (kind < 3.5) { albedo = skin * vec3(0.8, 0.45, 0.4); open *= 0.5; }
    else if (kind < 4.5) {  // gums and tongue
        albedo = gum_colour; shine = 0.3; soft = 0.0;
        open = smoothstep(4.5, 10.8, rest_position.z) * 0.75 + 0.05;
    } else if (kind < 5.5) {  // teeth
        albedo = tooth_colour; shine = 0.35; power = 40.0; soft = 0.0;
        open = smoothstep(7.0, 10.8, rest_position.z) * 0.9
             * (1.0 - 0.7 * smoothstep(1.3, 2.8, abs(rest_position.x))) + 0.05;
    } else if (kind < 6.5) {  // eye
        vec2 q = rest_position.xy - vec2(rest_position.x > 0.0 ? 3.17 : -3.17, 3.61);
        float r = length(q), rim = 0.62;
        albedo = sclera_colour * (1.0 - 0.25 * smoothstep(0.7, 1.4, r) * vec3(0.3, 1, 1));
        vec3 ring = iris_colour * (0.8 + 0.35 * noise(vec2(atan(q.y, q.x) * 0.8, r * 0.15)
                                   + seed.xy, 2) + 0.25 * (1.0 - r / rim));
        ring *= mix(1.0, 0.35, smoothstep(rim * 0.72, rim, r));
        ring = mix(ring, vec3(0.01), 1.0 - smoothstep(pupil - 0.05, pupil + 0.05, r));
        albedo = mix(albedo, ring, 1.0 - smoothstep(rim - 0.05, rim + 0.05, r));
        shine = 0.9; power = 120.0; soft = 0.0; open = 0.9;
    } else {  // lashes
        if (noise(at * vec2(14.0, 0.2), 3) < 0.35 - makeup.w * 0.6) discard;
        albedo = hair_colour * 0.35; shine = 0.0; soft = 0.0; open = 0.6;
    }
#elif SURFACE == 5
    vec2 over = at + vec2(0.0, beard_form.w * (1.0 - smoothstep(0.0, 0.10, abs(at.x - 0.5) - 0.06))
                              * step(0.445, at.y));
    vec4 base = texture(mask_colour, over);
    float field = beard_field(over, base.z) * (1.0 - smoothstep(0.3, 0.6, base.x));
    float clump = noise(vec2(at.x * 2.2, at.y * 0.5) + seed.yz, 1);
    float strand = noise(vec2(at.x * 5.0 + 0.1 * clump, at.y * 1.1) + seed.xw, 2);
    float thick = smoothstep(beard.z - 0.3, beard.z + 0.3, field) * smoothstep(0.05, 0.35, field);
    if (thick < 0.05 || thick + 0.35 * strand + 0.2 * clump < 0.35 + 0.5 * shell_share) discard;
    float grey = step(0.01, beard.w) * smoothstep(0.75, 1.25, beard.w + 0.5 + 0.25 * strand + 0.12 * clump);
    albedo = mix(beard_colour, vec3(0.55, 0.54, 0.53), grey) * (1.0 + 0.45 * strand + 0.15 * clump);
    shine = 0.06; power = 14.0; soft = 0.0; open = mix(0.45, 1.0, shell_share) * min(1.0, open_sky + 0.2);
    n = normalize(n + vec3(0.35 * strand, -0.1, 0.0));
#else
    if (glare.a + glare.r + glare.g + glare.b > 0.0) {  // a lens: what lies before it shines in it
        vec3 r = reflect(-v, n);
        float window = smoothstep(0.05, 0.12, r.y + 0.4 * seed.x - 0.3)
                     * smoothstep(0.6, 0.5, r.y + 0.4 * seed.x)
                     * smoothstep(0.5, 0.4, abs(r.x + 0.8 * seed.y - 0.4));
        vec3 shown = glare.rgb * (0.15 + 0.85 * window);
        float edge_on = 0.5 + 0.5 * pow(1.0 - abs(n.z), 2.0);
        shown *= edge_on * 1.6;
        colour = vec4(shown, clamp(max(glare.a, max(shown.r, max(shown.g, shown.b))), 0.0, 1.0));
        return;
    }
    albedo = glasses_colour; shine = 0.6; power = 60.0; open = 1.0; soft = 0.0;
#endif
#if SURFACE == 0
    if (fold_look.y > 0.0) {  // bump from the screen-space gradient of the fold height
        vec3 dx = dFdx(view_position), dy = dFdy(view_position);
        vec3 r1 = cross(dy, n), r2 = cross(n, dx);
        float det = dot(dx, r1);
        vec3 slope = sign(det) * (dFdx(folds) * r1 + dFdy(folds) * r2);
        if (abs(det) > 1e-7) n = normalize(n + fold_look.y * slope / abs(det));
    }
#endif
    float facing_key = dot(n, key_direction), lit_by_key = 1.0;
    if (shadow > 0.0) {
        vec3 q = light_position.xyz / light_position.w * 0.5 + 0.5;
        float sum = 0.0, bias = mix(0.03, 0.010, clamp(2.0 * facing_key, 0.0, 1.0));
        for (int i = 0; i < 2; i++) for (int j = 0; j < 2; j++) {
            float depth = texture(shadow_map, q.xy + (vec2(i, j) - 0.5) * 0.007).x;
            sum += clamp((depth - q.z + bias) * 200.0 + 1.0, 0.0, 1.0);
        }
        lit_by_key = mix(1.0, sum / 4.0, shadow);
    }
    vec3 wrap = soft * vec3(1.0, 0.45, 0.35);  // red light travels farthest under skin
    vec3 light = mix(ground_colour, sky_colour, n.y * 0.5 + 0.5) * mix(1.0, open, gloss.w);
    light += key_colour * max((facing_key + wrap) / (1.0 + wrap), 0.0)
           * mix(vec3(lit_by_key), vec3(1, lit_by_key, lit_by_key), soft * 0.25)
           * mix(1.0, open, 0.5 * gloss.w);
    light += fill_colour * max((dot(n, fill_direction) + wrap) / (1.0 + wrap), 0.0)
           * mix(1.0, open, 0.6 * gloss.w);
    float rim_light = 1.0 - max(dot(n, v), 0.0);
    float fresnel = 0.35 + 0.65 * pow(rim_light, 4.0);
    vec3 shone = albedo * light;
    shone += shine * fresnel * open * step(0.0, facing_key + 0.2)
           * (key_colour * lit_by_key * pow(max(dot(n, normalize(key_direction + v)), 0.0), power)
              + fill_colour * pow(max(dot(n, normalize(fill_direction + v)), 0.0), power));
    shone += shine * 0.12 * fresnel * sky_colour * pow(rim_light, 3.0) * open;
    shone = shone / (1.0 + 0.18 * shone);
    colour = vec4(pow(clamp(shone, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}
