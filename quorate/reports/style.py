"""How a report looks, on a screen and on paper; no font and no image is fetched for it."""

STYLE = """
:root{--ink:#16202c;--soft:#5b6775;--line:#d5dae1;--ground:#fff;--wash:#f5f7f9;--deep:#24425f;
--good:#17633a;--warn:#805000;--bad:#9c1c1c}
*{box-sizing:border-box}
html{background:#e9ecf0;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1064px;padding:44px 52px 56px;background:var(--ground);color:var(--ink);
font:15px/1.5 "Inter","Segoe UI","Helvetica Neue",Helvetica,Arial,"Liberation Sans","DejaVu Sans",sans-serif}
p{margin:0 0 10px;max-width:76ch}
h1{margin:0;font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{margin:44px 0 12px;padding-top:14px;border-top:2px solid var(--ink);font-size:19px;line-height:1.3;font-weight:650}
h3{margin:22px 0 6px;font-size:15px;font-weight:650}
.kicker,header.top .kicker{margin:0 0 6px;text-align:left;color:var(--soft);font-size:12px;
letter-spacing:.09em;text-transform:uppercase}
.soft{color:var(--soft);fill:var(--soft)}
code,.mono{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace;
font-size:.86em;overflow-wrap:anywhere}
header.top{display:flex;justify-content:space-between;gap:24px;align-items:flex-end;margin-bottom:26px}
header.top p{margin:0;color:var(--soft);font-size:13px;text-align:right;white-space:nowrap}
.opening{margin-right:1px;display:grid;grid-template-columns:1.25fr 1fr 1fr;border:1.5px solid var(--ink)}
.opening>div{padding:18px 22px 16px;border-left:1px solid var(--line)}
.opening>div:first-child{border-left:0}
.verdict{color:#fff;background:var(--ink);print-color-adjust:exact;-webkit-print-color-adjust:exact}
.verdict.good{background:var(--good)}.verdict.warn{background:var(--warn)}.verdict.bad{background:var(--bad)}
.verdict .word{display:block;font-size:25px;line-height:1.15;font-weight:700}
.verdict .sign{font-size:21px;margin-right:9px}
.verdict p{margin:10px 0 0;font-size:14px;line-height:1.4}
.label{display:block;color:var(--soft);font-size:12px;letter-spacing:.05em}
.verdict .label{color:inherit;opacity:.85}
.number{display:block;margin:2px 0 4px;font-size:29px;line-height:1.15;font-weight:650;letter-spacing:-.01em;
font-variant-numeric:tabular-nums}
.number.none{font-size:20px;color:var(--soft);font-weight:500;padding:6px 0 4px}
.against{margin:0;font-size:14px}
.how{margin:8px 0 0;color:var(--soft);font-size:12.5px;line-height:1.4}
table{width:100%;border-collapse:collapse;margin:6px 0 12px;font-size:13.5px;line-height:1.42}
th,td{padding:6px 12px 6px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{border-bottom:1.5px solid var(--ink);font-size:12px;font-weight:600;color:var(--soft);white-space:nowrap}
tbody th{font-weight:600}
td,tbody th{overflow-wrap:anywhere}
.facts th{width:150px;font-weight:500;color:var(--soft);overflow-wrap:normal}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.nowrap{white-space:nowrap;overflow-wrap:normal}
.word{font-weight:650;white-space:nowrap}
.is-good{color:var(--good)}.is-warn{color:var(--warn)}.is-bad{color:var(--bad)}
.blank{display:inline-block;min-width:130px;height:1.2em;border-bottom:1px solid var(--soft)}
.none{color:var(--soft)}
ul{margin:4px 0 12px;padding-left:20px}li{margin:2px 0}
.drawing{display:block;width:100%;height:auto;margin:8px 0 14px;overflow:hidden}
.drawing text{font-size:13px;fill:var(--ink)}
.drawing .small{font-size:11.5px}.drawing .soft{fill:var(--soft)}
.drawing .halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
.patterns{position:absolute}
.bar{stroke:var(--ink);stroke-width:1}.bar.machine{fill:var(--deep)}
.ground{fill:#fff}.plate{fill:#fff;stroke:var(--ink);stroke-width:1}.stroke{stroke:var(--ink);stroke-width:1.3;fill:none}.dot{fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}.through{stroke:var(--deep);stroke-width:4}
.reading{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
.middle{stroke:var(--soft);stroke-dasharray:5 4}.trend{fill:none;stroke:var(--deep);stroke-width:2}
.point{fill:#fff;stroke:var(--deep);stroke-width:2.5}
.legend{display:flex;flex-wrap:wrap;gap:4px 22px;margin:0 0 4px;color:var(--soft);font-size:12.5px}
.legend svg{width:26px;height:13px;margin-right:6px;vertical-align:-2px}
details{margin:8px 0}
summary{cursor:pointer;padding:8px 12px;background:var(--wash);border:1px solid var(--line);font-weight:600}
.log td{font-size:12px;line-height:1.4;padding-top:4px;padding-bottom:4px}
.sign-off{display:grid;grid-template-columns:repeat(3,1fr);gap:34px;margin-top:34px}
.sign-off div{border-top:1px solid var(--ink);padding-top:6px;min-height:96px;font-size:12.5px;color:var(--soft)}
@media screen and (max-width:820px){body{padding:24px 20px}.opening{grid-template-columns:1fr}
.opening>div{border-left:0;border-top:1px solid var(--line)}header.top{display:block}
header.top p{text-align:left;margin-top:8px}}
@page{size:A4;margin:16mm 15mm 17mm}
@media print{
html{background:#fff}body{max-width:none;padding:0;font-size:10pt;line-height:1.42}
h1{font-size:20pt}h2{margin:22pt 0 7pt;padding-top:8pt;font-size:13pt;break-after:avoid}
h3,.legend,.lead{break-after:avoid}h3{font-size:10.5pt}
.opening{grid-template-columns:1.15fr .95fr 1.05fr}.opening>div{padding:11pt 11pt}header.top p{font-size:8.5pt}
.verdict .word{font-size:15pt}.number{font-size:15.5pt}.number.none{font-size:12.5pt}.against{font-size:9pt}
.how{font-size:8pt}.verdict p{font-size:9pt}
table{font-size:8.8pt}thead{display:table-header-group}tr,.opening,.drawing,.sign-off,.keep{break-inside:avoid}
.log td{font-size:7.4pt}.id{font-size:7pt}.facts th{width:92pt}
.drawing text{font-size:14.4px}.drawing .small{font-size:12.8px}
.bar,.ground,.plate{print-color-adjust:exact;-webkit-print-color-adjust:exact}
summary{background:none}a{color:inherit}
}
"""
