"""Facts about cloud regions and zones: the tables only, read by static.py.

Source: the providers' own lists of regions and their published PUE and WUE (newest year with a value; the WUE of
0.18 is Amazon's company-wide figure); zones as Electricity Maps' data-centre list resolves them (August 2026);
WattTime regions and yearly averages after the Green Software Foundation's real-time-cloud table. Single facts, not a
copy of a database. Left out on purpose: figures on an operational basis (Qatar, Saudi Arabia, Mexico) and a default
factor (Bahrain), since neither may be compared with the rest. Empty means unknown and is never filled.
"""

# provider;region;city;country;electricity_maps_zone;watttime_region;pue;wue_l_per_kwh;zone of the yearly average
# The last field is empty where it is the Electricity Maps zone itself, and - where no yearly average is known.
REGIONS = """\
aws;af-south-1;Cape Town;ZA;ZA;ZAF;1.24;0.18;
aws;ap-east-1;Hong Kong;HK;HK;HKG;;0.18;
aws;ap-northeast-1;Tokyo;JP;JP-TK;JP_TK;1.27;0.91;
aws;ap-northeast-2;Seoul;KR;KR;KOR;;0.18;
aws;ap-northeast-3;Osaka;JP;JP-KN;JP_KN;;0.18;
aws;ap-south-1;Mumbai;IN;IN-WE;IND;1.42;0.18;
aws;ap-south-2;Hyderabad;IN;IN-SO;IND;1.46;0.18;
aws;ap-southeast-1;Singapore;SG;SG;SGP;1.32;1.68;
aws;ap-southeast-2;Sydney;AU;AU-NSW;NEM_NSW;1.16;0.12;
aws;ap-southeast-3;Jakarta;ID;ID;IDN;1.4;2.75;
aws;ap-southeast-4;Melbourne;AU;AU-VIC;NEM_VIC;1.07;0.02;
aws;ap-southeast-5;Malaysia;MY;MY-WM;;;;-
aws;ap-southeast-6;New Zealand;NZ;NZ;NZL;;;
aws;ap-southeast-7;Thailand;TH;TH;;;;-
aws;ca-central-1;Montreal;CA;CA-QC;HQ;1.19;0.04;
aws;ca-west-1;Calgary;CA;CA-AB;;1.17;0.08;-
aws;cn-north-1;Beijing;CN;CN;CHN;;0.18;-
aws;cn-northwest-1;Ningxia;CN;CN;CHN;1.25;0.18;-
aws;eu-central-1;Frankfurt;DE;DE;DE;1.35;0.01;
aws;eu-central-2;Zurich;CH;CH;CH;;0.18;
aws;eu-north-1;Stockholm;SE;SE-SE3;SE;1.1;0.02;SE
aws;eu-south-1;Milan;IT;IT-NO;IT;;0.18;
aws;eu-south-2;Spain;ES;ES;ES;1.09;0.24;
aws;eu-west-1;Ireland;IE;IE;IE;1.11;0.03;
aws;eu-west-2;London;GB;GB;UK;;0.18;
aws;eu-west-3;Paris;FR;FR;FR;;0.18;
aws;il-central-1;Tel Aviv;IL;IL;ISR;;0.18;
aws;me-central-1;UAE;AE;AE;ARE;1.27;0.18;
aws;me-south-1;Bahrain;BH;BH;BHR;1.33;0.18;-
aws;mx-central-1;Querétaro;MX;MX;MX_SIN;;;-
aws;sa-east-1;São Paulo;BR;BR-CS;BRA;1.17;0.23;
aws;us-east-1;N. Virginia;US;US-MIDA-PJM;PJM_DC;1.15;0.12;
aws;us-east-2;Ohio;US;US-MIDA-PJM;PJM_SOUTHWEST_OH;1.13;0.1;
aws;us-gov-east-1;;US;US-MIDA-PJM;PJM_DC;;0.18;
aws;us-gov-west-1;;US;US-NW-BPAT;BPA;;0.18;
aws;us-west-1;N. California;US;US-CAL-CISO;CAISO_NORTH;1.18;0.51;
aws;us-west-2;Oregon;US;US-NW-PACW;BPA;1.12;0.16;US-NW-BPAT
gcp;africa-south1;Johannesburg;ZA;ZA;ZAF;;;
gcp;asia-east1;Taiwan;TW;TW;TWN;1.12;;
gcp;asia-east2;Hong Kong;HK;HK;HKG;;;
gcp;asia-northeast1;Tokyo;JP;JP-TK;JP_TK;;;
gcp;asia-northeast2;Osaka;JP;JP-KN;JP_KN;;;
gcp;asia-northeast3;Seoul;KR;KR;KOR;;;
gcp;asia-south1;Mumbai;IN;IN-WE;IND;;;
gcp;asia-south2;Delhi;IN;IN-NO;IND;;;
gcp;asia-southeast1;Singapore;SG;SG;SGP;1.16;;
gcp;asia-southeast2;Jakarta;ID;ID;IDN;;;
gcp;asia-southeast3;Bangkok;TH;TH;;;;-
gcp;australia-southeast1;Sydney;AU;AU-NSW;NEM_NSW;;;
gcp;australia-southeast2;Melbourne;AU;AU-VIC;NEM_VIC;;;
gcp;europe-central2;Warsaw;PL;PL;PL;;;
gcp;europe-north1;Finland;FI;FI;FI;1.09;;
gcp;europe-north2;Stockholm;SE;SE-SE3;SE;;;SE
gcp;europe-southwest1;Madrid;ES;ES;ES;;;
gcp;europe-west1;Belgium;BE;BE;BE;1.09;;
gcp;europe-west10;Berlin;DE;DE;DE;;;
gcp;europe-west12;Turin;IT;IT-NO;IT;;;
gcp;europe-west2;London;GB;GB;UK;;;
gcp;europe-west3;Frankfurt;DE;DE;DE;;;
gcp;europe-west4;Eemshaven;NL;NL;NL;1.07;;
gcp;europe-west6;Zürich;CH;CH;CH;;;
gcp;europe-west8;Milan;IT;IT-NO;IT;;;
gcp;europe-west9;Paris;FR;FR;FR;;;
gcp;me-central1;Doha;QA;QA;QAT;;;-
gcp;me-central2;Dammam;SA;SA;SAU;;;-
gcp;me-west1;Tel Aviv;IL;IL;ISR;;;
gcp;northamerica-northeast1;Montréal;CA;CA-QC;HQ;;;
gcp;northamerica-northeast2;Toronto;CA;CA-ON;IESO_NORTH;;;
gcp;northamerica-south1;Mexico;MX;MX;MX_SIN;;;-
gcp;southamerica-east1;Sāo Paulo;BR;BR-CS;BRA;;;
gcp;southamerica-west1;Santiago;CL;CL-SEN;CHL;1.12;;
gcp;us-central1;Iowa;US;US-CENT-SWPP;MISO_MASON_CITY;1.1;;US-MIDW-MISO
gcp;us-east1;South Carolina;US;US-CAR-SCEG;SC;1.1;;US-CAR-SC
gcp;us-east4;Northern Virginia;US;US-MIDA-PJM;PJM_DC;1.09;;
gcp;us-east5;Columbus;US;US-MIDA-PJM;PJM_SOUTHWEST_OH;1.09;;
gcp;us-south1;Dallas;US;US-TEX-ERCO;ERCOT_NORTHCENTRAL;1.12;;
gcp;us-west1;Oregon;US;US-NW-PACW;BPA;1.07;;US-NW-BPAT
gcp;us-west2;Los Angeles;US;US-CAL-CISO;LDWP;;;
gcp;us-west3;Salt Lake City;US;US-NW-PACE;PACE;;;
gcp;us-west4;Las Vegas;US;US-NW-NEVP;NEVP;1.08;;
azure;australiacentral;Canberra;AU;AU-NSW;NEM_NSW;;;
azure;australiacentral2;Canberra;AU;AU-NSW;NEM_NSW;;;
azure;australiaeast;New South Wales;AU;AU-NSW;NEM_NSW;1.12;0.012;
azure;australiasoutheast;Victoria;AU;AU-VIC;NEM_VIC;1.12;0.012;
azure;brazilsouth;São Paulo State;BR;BR-CS;BRA;1.12;0.039;
azure;brazilsoutheast;Rio;BR;BR-CS;BRA;;;
azure;canadacentral;Toronto;CA;CA-ON;IESO_NORTH;;;
azure;canadaeast;Quebec;CA;CA-QC;HQ;;;
azure;centralindia;Pune;IN;IN-WE;IND;;;
azure;centralus;Iowa;US;US-MIDW-MISO;MISO_MASON_CITY;1.16;0.19;
azure;chinaeast;;CN;CN;;;;-
azure;chinaeast2;;CN;CN;;;;-
azure;chinanorth;;CN;CN;;;;-
azure;chinanorth2;;CN;CN;;;;-
azure;chinanorth3;;CN;CN;;;;-
azure;eastasia;Hong Kong;HK;HK;HKG;;;
azure;eastus;Virginia;US;US-MIDA-PJM;PJM_DC;1.14;0.17;
azure;eastus2;Virginia;US;US-MIDA-PJM;PJM_DC;1.14;0.17;
azure;francecentral;Paris;FR;FR;FR;;;
azure;francesouth;Marseille;FR;FR;FR;;;
azure;germanynorth;Berlin;DE;DE;DE;;;
azure;germanywestcentral;Frankfurt;DE;DE;DE;;;
azure;indonesiacentral;;ID;ID;IDN;;;
azure;israelcentral;;IL;IL;ISR;;;
azure;italynorth;;IT;IT-NO;IT;1.12;0.023;
azure;japaneast;Tokyo, Saitama;JP;JP-TK;JP_TK;;;
azure;japanwest;Osaka;JP;JP-KN;JP_KN;;;
azure;koreacentral;Seoul;KR;KR;KOR;;;
azure;koreasouth;Busan;KR;KR;KOR;;;
azure;mexicocentral;;MX;MX;MX_SIN;1.12;0.056;-
azure;newzealandnorth;;NZ;NZ;NZL;1.12;0.0;
azure;northcentralus;Illinois;US;US-MIDA-PJM;;1.35;0.79;
azure;northeurope;Ireland;IE;IE;IE;1.19;0.03;
azure;norwayeast;Norway;NO;NO-NO1;;;;-
azure;norwaywest;Norway;NO;NO-NO2;;;;-
azure;polandcentral;;PL;PL;PL;1.12;0.023;
azure;qatarcentral;;QA;QA;QAT;;;-
azure;southafricanorth;Johannesburg;ZA;ZA;ZAF;;;
azure;southafricawest;Cape Town;ZA;ZA;ZAF;;;
azure;southcentralus;Texas;US;US-TEX-ERCO;ERCOT_SANANTONIO;1.28;1.82;
azure;southeastasia;Singapore;SG;SG;SGP;1.34;2.06;
azure;southindia;Chennai;IN;IN-SO;IND;;;
azure;spaincentral;;ES;ES;ES;1.12;;
azure;swedencentral;Gävle;SE;SE-SE3;SE;1.16;0.16;SE
azure;switzerlandnorth;Zurich;CH;CH;CH;;;
azure;switzerlandwest;Geneva;CH;CH;CH;;;
azure;uaecentral;Abu Dhabi;AE;AE;ARE;;;
azure;uaenorth;Dubai;AE;AE;ARE;;;
azure;uksouth;London;GB;GB;UK;;;
azure;ukwest;Cardiff;GB;GB;UK;;;
azure;westcentralus;Wyoming;US;US-NW-PACE;WACM;1.11;0.23;
azure;westeurope;Netherlands;NL;NL;NL;1.14;0.08;
azure;westus;California;US;US-CAL-CISO;;1.15;1.09;
azure;westus2;Washington;US;US-NW-BPAT;BPA;;;
azure;westus3;Phoenix;US;US-SW-AZPS;AZPS;1.18;2.24;-
"""

# Consumption average of 2023, life-cycle basis (inferred), gCO2e/kWh.
YEARLY_AVERAGE_GCO2E_PER_KWH = {
    "AE": 381.54,
    "AU-NSW": 545.01,
    "AU-VIC": 498.19,
    "BE": 177.58,
    "BR-CS": 89.55,
    "CA-ON": 76.42,
    "CA-QC": 30.51,
    "CH": 83.8,
    "CL-SEN": 272.26,
    "DE": 370.93,
    "ES": 153.86,
    "FI": 82.34,
    "FR": 52.87,
    "GB": 187.89,
    "HK": 435.36,
    "ID": 652.36,
    "IE": 403.4,
    "IL": 533.04,
    "IN-NO": 563.1,
    "IN-SO": 551.31,
    "IN-WE": 746.98,
    "IT-NO": 298.62,
    "JP-KN": 370.3,
    "JP-TK": 536.06,
    "KR": 443.05,
    "NL": 283.17,
    "NZ": 96.81,
    "PL": 749.28,
    "SE": 24.71,
    "SG": 487.52,
    "TW": 537.64,
    "US-CAL-CISO": 261.28,
    "US-CAR-SC": 649.07,
    "US-MIDA-PJM": 396.25,
    "US-MIDW-MISO": 501.42,
    "US-NW-BPAT": 119.76,
    "US-NW-NEVP": 459.13,
    "US-NW-PACE": 647.78,
    "US-TEX-ERCO": 388.76,
    "ZA": 702.03,
}

# Sub-zones whose yearly average is published for the whole country only.
YEARLY_AVERAGE_STAND_IN = {"SE-SE3": "SE"}
